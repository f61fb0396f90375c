// What every agent script in JavaScript shares; the same as saying.py.

import { readFileSync, rmSync, writeFileSync } from "node:fs";

const MARK = "::farebox:: ";
const DOCUMENTED_URL = "http://127.0.0.1:4000";
const DOCUMENTED_MODEL = "sim-small";

export const QUESTION = "What is the weather in Paris? Ask the tool, then say it in a sentence.";
export const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

let toolCalls = 0;

export function weather({ city }) {
  toolCalls += 1;
  return `It is sunny in ${city}.`;
}

export async function play(plain, streamed) {
  const scenarios = JSON.parse(readFileSync(process.env.FAREBOX_SCENARIOS, "utf8"));
  for (const [number, scenario] of scenarios.entries()) {
    const said = await one(scenario, number, scenario.stream ? streamed : plain);
    process.stdout.write(`\n${MARK}${JSON.stringify({ id: scenario.id, ...said })}\n`);
  }
  process.exit(0);
}

async function one(scenario, number, run) {
  toolCalls = 0;
  process.env.FAREBOX_KEY = scenario.key;
  const started = Date.now();
  let seen = {};
  let error = null;
  try {
    seen = await run({ ...(await pointed(scenario, number)), api: scenario.api });
  } catch (caught) {
    console.error(caught);
    error = { type: caught?.constructor?.name ?? typeof caught, message: String(caught?.message ?? caught).slice(0, 1000) };
  }
  return {
    answer: seen.answer ?? "",
    input_tokens: seen.inputTokens ?? null,
    output_tokens: seen.outputTokens ?? null,
    chunks: seen.chunks ?? 0,
    tool_calls: toolCalls,
    error,
    seconds: (Date.now() - started) / 1000,
  };
}

// The names that the documentation's block exports, once it points at the gateway and the model of the scenario.
async function pointed(scenario, number) {
  const text = scenario.block.replaceAll(DOCUMENTED_URL, scenario.url).replaceAll(DOCUMENTED_MODEL, scenario.model);
  const file = new URL(`./block-${process.pid}-${number}.mjs`, import.meta.url);
  writeFileSync(file, text);
  try {
    return await import(file);
  } finally {
    rmSync(file);
  }
}
