// Vercel's AI SDK: its agent, over any of its providers.

import { jsonSchema, tool, ToolLoopAgent } from "ai";
import { CITY, play, QUESTION, weather } from "./saying.mjs";

const agent = (here) =>
  new ToolLoopAgent({
    model: here.api === "chat" ? (here.chatModel ?? here.model) : here.model,
    tools: {
      weather: tool({
        description: "The weather in a city.",
        inputSchema: jsonSchema(CITY),
        execute: async (input) => weather(input),
      }),
    },
  });

async function plain(here) {
  const result = await agent(here).generate({ prompt: QUESTION });
  const usage = result.totalUsage;
  return { answer: result.text, inputTokens: usage.inputTokens, outputTokens: usage.outputTokens };
}

async function streamed(here) {
  const result = await agent(here).stream({ prompt: QUESTION });
  let chunks = 0;
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    chunks += 1;
  }
  const usage = await result.totalUsage;
  return { answer: await result.text, inputTokens: usage.inputTokens, outputTokens: usage.outputTokens, chunks };
}

await play(plain, streamed);
