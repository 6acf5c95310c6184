// GitHub's own evaluator of expressions and parser of workflows, spoken to in JSON lines by evaluator.py.
// Copied beside node_modules, where it is run.
import {createHash} from 'node:crypto';
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {register} from 'node:module';
import readline from 'node:readline';

// These packages import .json without an import attribute, which Node refuses: load such files as modules.
register('data:text/javascript,' + encodeURIComponent(`
import {readFileSync} from 'node:fs'; import {fileURLToPath} from 'node:url';
export async function load(url, context, next) { return url.startsWith('file:') && url.endsWith('.json')
  ? {format: 'module', shortCircuit: true, source: 'export default ' + readFileSync(fileURLToPath(url), 'utf8')} : next(url, context); }`));
const {Lexer, Parser, Evaluator, data} = await import('@actions/expressions');
const {parseWorkflow, convertWorkflowTemplate, NoOperationTraceWriter} = await import('@actions/workflow-parser');
const YAML = (await import('yaml')).default;

// 'a ${{ x }} b' → ['a ', {expression: 'x'}, ' b']; quoted braces end nothing.
function parts(text) {
  for (const found = [], at = {begin: 0};;) {
    const open = text.indexOf('${{', at.begin);
    found.push(text.slice(at.begin, open < 0 ? undefined : open));
    if (open < 0) return found;
    let end = open + 3, quoted = false;
    for (; end < text.length && (quoted || !text.startsWith('}}', end)); end++) if (text[end] === "'") quoted = !quoted;
    if (end >= text.length) throw Error('unterminated ${{ in: ' + text);
    found.push({expression: text.slice(open + 3, end).trim()});
    at.begin = end + 2;
  }
}

function hashFiles(workspace, patterns) {
  const listed = execFileSync('git', ['ls-files', '-co', '--', ...patterns.map(each => ':(glob)' + each)], {cwd: workspace});
  const files = listed.toString().split('\n').filter(Boolean), hash = createHash('sha256');
  for (const file of files) hash.update(createHash('sha256').update(readFileSync(workspace + '/' + file)).digest());
  return files.length ? hash.digest('hex') : '';
}

function evaluate(expression, message) {
  const functions = {
    success: () => message.status === 'success', failure: () => message.status === 'failure',
    cancelled: () => message.status === 'cancelled', always: () => true,
    hashfiles: (...patterns) => hashFiles(message.workspace, patterns),
  };
  const known = Object.keys(functions).map(name => ({name, minArgs: 0, maxArgs: 255, call: (...values) => {
    const value = functions[name](...values.map(each => each.coerceString()));
    return typeof value === 'string' ? new data.StringData(value) : new data.BooleanData(value);
  }}));
  const tree = new Parser(new Lexer(expression).lex().tokens, Object.keys(message.context), known).parse();
  const context = JSON.parse(JSON.stringify(message.context), data.reviver);
  return new Evaluator(tree, context, new Map(known.map(each => [each.name, each]))).evaluate();
}

const plain = value => JSON.parse(JSON.stringify(value, data.replacer));
const asksStatus = text => /\b(success|failure|always|cancelled)\s*\(/i.test(text.replace(/'[^']*'/g, ''));
const isLone = pieces => pieces.length === 3 && !pieces[0].trim() && !pieces[2].trim();

const operations = {
  async workflow({text, name}) {
    const parsed = parseWorkflow({name, content: text}, new NoOperationTraceWriter());
    if (parsed.value) await convertWorkflowTemplate(parsed.context, parsed.value);
    const errors = parsed.context.errors.getErrors().map(each => each.message);
    return {document: YAML.parse(text), errors};
  },
  yaml: ({text}) => YAML.parse(text),
  template(message) {  // one lone expression keeps its type; anything else becomes a string
    const pieces = parts(message.text);
    if (isLone(pieces)) return plain(evaluate(pieces[1].expression, message));
    return pieces.map(each => typeof each === 'string' ? each : evaluate(each.expression, message).coerceString()).join('');
  },
  condition(message) {
    const pieces = parts(message.text);
    const text = pieces.length === 1 ? pieces[0] : pieces.filter(each => each.expression).map(each => each.expression).join(' && ');
    if (pieces.length > 1 && !isLone(pieces)) return asksStatus(text) || message.status === 'success';  // a text, so true
    const value = evaluate(asksStatus(text) ? text : `success() && (${text})`, message);
    return !/^(false|0|)$/i.test(value.coerceString());
  },
};

for await (const line of readline.createInterface({input: process.stdin})) {
  const message = JSON.parse(line);
  let answer;
  try { answer = {value: await operations[message.operation](message)}; } catch (error) { answer = {error: error.message || String(error)}; }
  console.log(JSON.stringify(answer));
}
