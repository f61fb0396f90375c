// The OpenAI Agents SDK in JavaScript.

import { Agent, tool } from "@openai/agents";
import { CITY, play, QUESTION, weather } from "./saying.mjs";

const agent = new Agent({
  name: "Forecaster",
  instructions: "You are brief.",
  tools: [
    tool({
      name: "weather",
      description: "The weather in a city.",
      parameters: { ...CITY, additionalProperties: false },
      strict: true,
      execute: weather,
    }),
  ],
});

const runner = (here) => (here.api === "chat" ? here.chatRunner : here.runner);

function seen(result, chunks) {
  const usage = result.runContext.usage;
  return { answer: result.finalOutput, inputTokens: usage.inputTokens, outputTokens: usage.outputTokens, chunks };
}

const plain = async (here) => seen(await runner(here).run(agent, QUESTION), 0);

async function streamed(here) {
  const result = await runner(here).run(agent, QUESTION, { stream: true });
  let chunks = 0;
  for await (const event of result) chunks += event.type === "raw_model_stream_event" ? 1 : 0;
  await result.completed;
  return seen(result, chunks);
}

await play(plain, streamed);
