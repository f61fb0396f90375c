// The OpenAI SDK by itself: the loop that every agent is made of, over chat completions or responses.

import { CITY, play, QUESTION, weather } from "./saying.mjs";

const TOOL = { name: "weather", description: "The weather in a city.", parameters: CITY };
const CHAT_TOOLS = [{ type: "function", function: TOOL }];
const RESPONSES_TOOLS = [{ type: "function", strict: false, ...TOOL }];

async function chat(here, ask) {
  const messages = [{ role: "user", content: QUESTION }];
  const spent = { inputTokens: 0, outputTokens: 0, chunks: 0 };
  for (;;) {
    const completion = await ask({ model: here.model, messages, tools: CHAT_TOOLS }, spent);
    spent.inputTokens += completion.usage.prompt_tokens;
    spent.outputTokens += completion.usage.completion_tokens;
    const message = completion.choices[0].message;
    if (!message.tool_calls?.length) return { answer: message.content, ...spent };
    messages.push(message);
    for (const call of message.tool_calls) {
      const content = weather(JSON.parse(call.function.arguments));
      messages.push({ role: "tool", tool_call_id: call.id, content });
    }
  }
}

class ResponseFailed extends Error {}

async function responses(here, ask) {
  let input = QUESTION;
  let previous;
  const spent = { inputTokens: 0, outputTokens: 0, chunks: 0 };
  for (;;) {
    const response = await ask({ model: here.model, input, tools: RESPONSES_TOOLS, previous_response_id: previous }, spent);
    if (response.status === "failed") throw new ResponseFailed(response.error.message);
    spent.inputTokens += response.usage.input_tokens;
    spent.outputTokens += response.usage.output_tokens;
    const calls = response.output.filter((item) => item.type === "function_call");
    if (!calls.length) return { answer: response.output_text, ...spent };
    previous = response.id;
    input = calls.map((call) => ({
      type: "function_call_output",
      call_id: call.call_id,
      output: weather(JSON.parse(call.arguments)),
    }));
  }
}

const plain = (here) =>
  here.api === "chat"
    ? chat(here, (asked) => here.client.chat.completions.create(asked))
    : responses(here, (asked) => here.client.responses.create(asked));

const streamed = (here) =>
  here.api === "chat"
    ? chat(here, async (asked, spent) => {
        const stream = here.client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
        for await (const _ of stream) spent.chunks += 1;
        return stream.finalChatCompletion();
      })
    : responses(here, async (asked, spent) => {
        const stream = here.client.responses.stream(asked);
        for await (const _ of stream) spent.chunks += 1;
        return stream.finalResponse();
      });

await play(plain, streamed);
