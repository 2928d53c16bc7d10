// GitHub's own expression evaluator as a server: one JSON request a line, one JSON reply a line.
//
//     {"text": "a ${{ b }}", "contexts": {"b": ...}}                  -> {"value": "a ..."}
//     {"condition": "...", "contexts": {...}, "status": "success"}    -> {"value": true}
//
// An error of the expression is {"error": "..."}. status: success, failure or cancelled, of the steps so far.

import {createInterface} from "node:readline";
import {Evaluator, Lexer, Parser, data} from "@actions/expressions";

const STATUS = ["success", "failure", "cancelled"];

function evaluate(source, contexts, status) {
  const truth = (name) => new data.BooleanData(name === "always" || name === status);
  const functions = [...STATUS, "always"].map((name) => ({name, minArgs: 0, maxArgs: 0, call: () => truth(name)}));
  const tree = new Parser(new Lexer(source).lex().tokens, Object.keys(contexts), functions).parse();
  const known = JSON.parse(JSON.stringify(contexts), data.reviver);
  return new Evaluator(tree, known, new Map(functions.map((one) => [one.name, one]))).evaluate();
}

// The end of an expression is the first }} outside its strings, which single quotes delimit.
const EMBEDDED = /\$\{\{((?:'[^']*'|(?!\}\})[^'])*)\}\}/g;

function answer({text, condition, contexts, status}) {
  if (condition === undefined) return text.replace(EMBEDDED, (_, source) => evaluate(source, contexts, status).coerceString());
  const source = condition.replace(/^\s*\$\{\{([\s\S]*)\}\}\s*$/, "$1").trim() || "success()";
  const asked = /\b(success|failure|cancelled|always)\s*\(/i.test(source.replace(/'[^']*'/g, "''"));
  const value = evaluate(asked ? source : `success() && (${source})`, contexts, status);
  return !["", "0", "false", "null", "NaN"].includes(value.coerceString());
}

createInterface({input: process.stdin}).on("line", (line) => {
  let reply;
  try {
    reply = {value: answer(JSON.parse(line))};
  } catch (error) {
    reply = {error: String(error.message ?? error)};
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
});
