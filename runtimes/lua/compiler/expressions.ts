/** Code for expressions. Evaluation order is Lua's: operands and arguments from left to right, the function before its arguments. */
import type { Call, Expression, FunctionNode, TableExpression } from 'luaparse';
import type { Emitter } from './emitter.ts';
import { stringValue } from './parse.ts';
import { argumentsOf, isMulti, isNumber, type Scopes, type Variable } from './scope.ts';

/** Table constructors with up to so many constant keys are made in one step. */
const MAX_RECORD = 8;

const OPERATORS: Readonly<Record<string, string>> = { '+': 'add', '-': 'sub', '*': 'mul', '/': 'div' };
const COMPARISONS: Readonly<Record<string, readonly [js: string, helper: string, swapped: boolean]>> = {
  '<': ['<', 'less', false],
  '<=': ['<=', 'lessOrEqual', false],
  '>': ['<', 'less', true],
  '>=': ['<=', 'lessOrEqual', true],
};

export class Expressions {
  readonly out: Emitter;
  readonly scopes: Scopes;
  /** Code of a function literal; statements are made elsewhere. */
  readonly functionCode: (node: FunctionNode) => string;

  constructor(out: Emitter, scopes: Scopes, functionCode: (node: FunctionNode) => string) {
    this.out = out;
    this.scopes = scopes;
    this.functionCode = functionCode;
  }

  /** Code of one value. */
  value(node: Expression): string {
    this.out.fn.weight++;
    switch (node.type) {
      case 'NilLiteral':
        return 'undefined';
      case 'BooleanLiteral':
        return String(node.value);
      case 'NumericLiteral':
        return String(node.value);
      case 'StringLiteral':
        return JSON.stringify(stringValue(node));
      case 'VarargLiteral':
        return 'va[0]';
      case 'Identifier':
        return this.#identifier(node);
      case 'FunctionDeclaration':
        return this.functionCode(node);
      case 'MemberExpression':
        return this.#index(node, node.base, JSON.stringify(node.identifier.name));
      case 'IndexExpression':
        return this.#index(node, node.base, undefined, node.index);
      case 'LogicalExpression':
        return this.#logical(node.operator, node.left, node.right);
      case 'BinaryExpression':
        return this.#binary(node, node.operator, node.left, node.right);
      case 'UnaryExpression':
        return this.#unary(node, node.operator, node.argument);
      case 'TableConstructorExpression':
        return this.#table(node);
      default:
        return this.#first(this.call(node));
    }
  }

  /** Code of a condition: a boolean of JavaScript. */
  condition(node: Expression): string {
    if (isBoolean(node)) {
      if (node.type === 'LogicalExpression') {
        const operator = node.operator === 'and' ? '&&' : '||';
        return `(${this.condition(node.left)}${operator}${this.condition(node.right)})`;
      }
      return this.value(node);
    }
    if (node.type === 'NilLiteral') return 'false';
    if (node.type === 'NumericLiteral' || node.type === 'StringLiteral') return 'true';
    if (node.type === 'LogicalExpression') {
      const operator = node.operator === 'and' ? '&&' : '||';
      return `(${this.condition(node.left)}${operator}${this.condition(node.right)})`;
    }
    if (node.type === 'Identifier' && this.scopes.variableOf(node) !== undefined) {
      const code = this.value(node);
      return `(${code}!==undefined&&${code}!==false)`;
    }
    const t = this.out.temporary();
    const code = `((${t}=${this.value(node)})!==undefined&&${t}!==false)`;
    this.out.release(1);
    return code;
  }

  /** Code of an array of all values of a list, whose last may be several. */
  list(nodes: readonly Expression[]): string {
    const last = nodes.at(-1);
    if (last === undefined) return '[]';
    if (!isMulti(last)) return `[${nodes.map((node) => this.value(node)).join(',')}]`;
    if (nodes.length === 1) return this.all(last);
    const head = nodes.slice(0, -1).map((node) => this.value(node));
    return `[${head.join(',')},...${this.all(last)}]`;
  }

  /** Code of an array of all values of one expression; the array may not be changed. */
  all(node: Expression): string {
    if (node.type === 'VarargLiteral') return 'va';
    const { out } = this;
    const call = this.call(node as Call);
    if (!out.fn.info.waits) return `all(${call})`;
    const t = out.temporary();
    const code = `all((${t}=${call}) instanceof Tail?yield* finishWaiting(${t}):${t})`;
    out.release(1);
    return code;
  }

  /** Code of a call as a statement. */
  callStatement(node: Call): string {
    const { out } = this;
    const call = this.call(node);
    const t = out.temporary();
    const finish = out.fn.info.waits ? `yield* finishWaiting(${t})` : `finish(${t})`;
    out.release(1);
    return `if((${t}=${call}) instanceof Tail)${finish};`;
  }

  #first(call: string): string {
    const { out } = this;
    const t = out.temporary();
    const several = out.fn.info.waits
      ? `(${t} instanceof Tail?first(all(yield* finishWaiting(${t}))):${t}[0])`
      : `first(${t})`;
    out.release(1);
    return `((${t}=${call}) instanceof Array?${several}:${t})`;
  }

  /** Code of a call's results. `tail`: it stands in `return`, after which the depth is counted down by `weight`. */
  call(node: Call | Expression, tail?: string): string {
    const { out } = this;
    out.fn.weight += 2;
    const call = node as Call;
    const direct = this.#direct(call);
    if (direct !== undefined) return this.#callDirect(call, direct, tail);
    const before = out.fn.temporaries;
    const steps: string[] = [];
    const callee = out.temporary();
    let self: string | undefined;
    let name: string | undefined;
    const { base } = call;
    if (base.type === 'MemberExpression' && base.indexer === ':') {
      self = out.temporary();
      const key = JSON.stringify(base.identifier.name);
      steps.push(`${self}=${this.value(base.base)}`);
      steps.push(`${callee}=${out.site(base.identifier, [this.describe(base.base)])}index(${self},${key})`);
      name = `method '${base.identifier.name}'`;
    } else {
      steps.push(`${callee}=${this.value(base)}`);
      name = this.describe(base);
    }
    const args = this.#isLevelOne(call) ? this.#levelOne(call, steps) : this.#arguments(argumentsOf(call), steps);
    if (self !== undefined) args.unshift(self);
    const site = out.site(call, [name], tail !== undefined);
    const code = this.#invoke(callee, args.join(','), site, tail);
    out.release(out.fn.temporaries - before);
    return `(${steps.join(',')},${code})`;
  }

  #invoke(callee: string, args: string, site: string, tail: string | undefined): string {
    const { waits } = this.out.fn.info;
    const check = `(${callee} instanceof F?${callee}:${callee}=callable(${callee}))`;
    const call = waits ? `(${check}.g===null?${callee}.s(${args}):yield* ${callee}.g(${args}))` : `${check}.s(${args})`;
    if (tail === undefined) return `${site}${call}`;
    return `${site}(S.depth>TAIL?(${check},${tail},new Tail(${callee},[${args}])):(${callee}=${call},${tail},${callee}))`;
  }

  #direct(call: Call): Variable | undefined {
    if (call.base.type !== 'Identifier') return undefined;
    const variable = this.scopes.variableOf(call.base);
    return variable?.fn === undefined ? undefined : variable;
  }

  #callDirect(call: Call, variable: Variable, tail: string | undefined): string {
    const { out } = this;
    const before = out.fn.temporaries;
    const steps: string[] = [];
    const args = this.#arguments(argumentsOf(call), steps).join(',');
    const site = out.site(call, [this.describe(call.base)], tail !== undefined);
    const code = `${variable.fn?.waits === true ? 'yield* ' : ''}${variable.js}$(${args})`;
    const lead = steps.length > 0 ? `${steps.join(',')},` : '';
    out.release(out.fn.temporaries - before);
    if (tail === undefined) return `(${lead}${site}${code})`;
    const t = out.temporary();
    out.release(1);
    return `(${lead}${site}(S.depth>TAIL?(${tail},new Tail(${variable.js},[${args}])):(${t}=${code},${tail},${t})))`;
  }

  /** `setfenv(1, t)` and `getfenv()`, which mean the running function. */
  #isLevelOne({ base, ...call }: Call): boolean {
    if (!this.scopes.environments || base.type !== 'Identifier' || !/^[sg]etfenv$/.test(base.name)) return false;
    const [level] = argumentsOf(call as Call);
    return level === undefined || (level.type === 'NumericLiteral' && level.value === 1);
  }

  #levelOne(call: Call, steps: string[]): string[] {
    return ['levelOne(E)', ...this.#arguments(argumentsOf(call).slice(1), steps)];
  }

  /** Arguments: simple ones as they are, others in temporaries that `steps` fill. */
  #arguments(nodes: readonly Expression[], steps: string[]): string[] {
    const simple = nodes.every((node) => this.#isSimple(node));
    return nodes.map((node, i) => {
      if (i === nodes.length - 1 && isMulti(node)) {
        const all = this.all(node);
        if (node.type === 'VarargLiteral') return `...${all}`;
        const t = this.out.temporary();
        steps.push(`${t}=${all}`);
        return `...${t}`;
      }
      if (simple || this.#isConstant(node)) return this.value(node);
      const code = this.value(node);
      const t = this.out.temporary();
      steps.push(`${t}=${code}`);
      return t;
    });
  }

  /** It neither does anything nor fails. */
  #isSimple(node: Expression): boolean {
    if (node.type === 'VarargLiteral') return true;
    return this.#isConstant(node) || (node.type === 'Identifier' && this.scopes.variableOf(node) !== undefined);
  }

  #isConstant(node: Expression): boolean {
    if (node.type === 'Identifier') return this.scopes.variableOf(node)?.reassigned === false;
    return node.type.endsWith('Literal') && node.type !== 'VarargLiteral';
  }

  /** What error messages call an expression. */
  describe(node: Expression): string | undefined {
    if (node.type === 'MemberExpression') return `field '${node.identifier.name}'`;
    if (node.type === 'IndexExpression' && node.index.type === 'StringLiteral')
      return `field '${stringValue(node.index)}'`;
    if (node.type !== 'Identifier') return undefined;
    const variable = this.scopes.variableOf(node);
    if (variable === undefined) return `global '${node.name}'`;
    return `${variable.owner === this.out.fn.info ? 'local' : 'upvalue'} '${node.name}'`;
  }

  #identifier(node: Expression & { type: 'Identifier' }): string {
    const variable = this.scopes.variableOf(node);
    if (variable === undefined) return `getGlobal(E,${JSON.stringify(node.name)})`;
    return variable.boxed ? `${variable.js}.v` : variable.js;
  }

  #index(node: Expression, base: Expression, constant: string | undefined, key?: Expression): string {
    const site = this.out.site(node, [this.describe(base)]);
    const helper = isNumber(key, this.scopes) ? 'indexNumber' : 'index';
    return `${site}${helper}(${this.value(base)},${constant ?? this.value(key as Expression)})`;
  }

  #logical(operator: string, left: Expression, right: Expression): string {
    if (isBoolean(left)) {
      const condition = this.condition(left);
      return operator === 'and'
        ? `(${condition}?${this.value(right)}:false)`
        : `(${condition}?true:${this.value(right)})`;
    }
    const { out } = this;
    const t = out.temporary();
    const test = `(${t}=${this.value(left)})===undefined||${t}===false`;
    out.release(1);
    // One of the two is evaluated, so that they may share the temporary.
    const other = this.value(right);
    return operator === 'and' ? `(${test}?${t}:${other})` : `(${test}?${other}:${t})`;
  }

  #binary(node: Expression, operator: string, left: Expression, right: Expression): string {
    const comparison = COMPARISONS[operator];
    if (comparison !== undefined) return this.#comparison(node, comparison, left, right);
    const names = [this.describe(left), this.describe(right)];
    switch (operator) {
      case '==':
        return this.#equality(left, right, '');
      case '~=':
        return this.#equality(left, right, '!');
      case '..':
        return `${this.out.site(node, names)}concat(${this.value(left)},${this.value(right)})`;
      case '%':
        return this.#arithmetic(node, names, left, right, (a, b) => `mod(${a},${b})`, 'modulo');
      case '^':
        return this.#arithmetic(node, names, left, right, (a, b) => `power(${a},${b})`, 'pow');
      default: {
        const helper = OPERATORS[operator];
        if (helper === undefined) throw new UnknownOperator(operator, node);
        return this.#arithmetic(node, names, left, right, (a, b) => `(${a}${operator}${b})`, helper);
      }
    }
  }

  #arithmetic(
    node: Expression,
    names: (string | undefined)[],
    left: Expression,
    right: Expression,
    code: (a: string, b: string) => string,
    helper: string,
  ): string {
    if (isNumber(left, this.scopes) && isNumber(right, this.scopes)) return code(this.value(left), this.value(right));
    const { steps, a, b, checks, release } = this.#operands(left, right);
    const fast = code(a, b);
    const slow = `${this.out.site(node, names)}${helper}(${a},${b})`;
    release();
    return `(${steps}${checks}?${fast}:${slow})`;
  }

  #comparison(
    node: Expression,
    [js, helper, swapped]: readonly [string, string, boolean],
    left: Expression,
    right: Expression,
  ): string {
    if (isNumber(left, this.scopes) && isNumber(right, this.scopes)) {
      const [a, b] = [this.value(left), this.value(right)];
      return swapped ? `(${a}${js === '<' ? '>' : '>='}${b})` : `(${a}${js}${b})`;
    }
    const { steps, a, b, checks, release } = this.#operands(left, right);
    const [x, y] = swapped ? [b, a] : [a, b];
    const slow = `${this.out.site(node)}${helper}(${x},${y})`;
    release();
    return `(${steps}${checks}?${x}${js}${y}:${slow})`;
  }

  /** Both operands, evaluated in order, and the test that both are numbers. */
  #operands(left: Expression, right: Expression) {
    const before = this.out.fn.temporaries;
    const steps: string[] = [];
    const operand = (node: Expression): string => {
      if (this.#isConstant(node) || (this.#isSimple(left) && this.#isSimple(right) && node.type === 'Identifier')) {
        return this.value(node);
      }
      const code = this.value(node);
      const t = this.out.temporary();
      steps.push(`${t}=${code}`);
      return t;
    };
    const a = operand(left);
    const b = operand(right);
    const checks = [[left, a] as const, [right, b] as const]
      .filter(([node]) => !isNumber(node, this.scopes))
      .map(([, code]) => `typeof ${code}==='number'`)
      .join('&&');
    return {
      steps: steps.length > 0 ? `${steps.join(',')},` : '',
      a,
      b,
      checks,
      release: () => this.out.release(this.out.fn.temporaries - before),
    };
  }

  #equality(left: Expression, right: Expression, not: string): string {
    const [a, b] = [this.value(left), this.value(right)];
    const primitive = [left, right].some((node) => node.type.endsWith('Literal') && node.type !== 'VarargLiteral');
    if (primitive || isNumber(left, this.scopes) || isNumber(right, this.scopes)) return `(${a}${not || '='}==${b})`;
    return `${not}equal(${a},${b})`;
  }

  #unary(node: Expression, operator: string, argument: Expression): string {
    if (operator === 'not') return `!${this.condition(argument)}`;
    const names = [this.describe(argument)];
    if (operator === '#') return `${this.out.site(node, names)}len(${this.value(argument)})`;
    if (operator !== '-') throw new UnknownOperator(operator, node);
    if (isNumber(argument, this.scopes)) return `(-${this.value(argument)})`;
    const t = this.out.temporary();
    const code = `(typeof (${t}=${this.value(argument)})==='number'?-${t}:${this.out.site(node, names)}minus(${t}))`;
    this.out.release(1);
    return code;
  }

  #table({ fields }: TableExpression): string {
    const { out } = this;
    if (fields.length === 0) return 'table()';
    const [first] = fields;
    if (fields.every(({ type }) => type === 'TableValue')) {
      const code = this.list(fields.map(({ value }) => value));
      // What `all` returns may be shared.
      return fields.length === 1 && first !== undefined && isMulti(first.value)
        ? `list([...${code}])`
        : `list(${code})`;
    }
    const keys = fields.map((field) => constantKey(field));
    if (keys.length <= MAX_RECORD && keys.every((key) => key !== undefined) && new Set(keys).size === keys.length) {
      const values = fields.map(({ value }) => this.value(value)).join(',');
      out.keys.push(JSON.stringify(keys));
      return `record(K${out.keys.length - 1},[${values}])`;
    }
    const [t, list] = [out.temporary(), out.temporary()];
    const steps = [`${t}=table(),${list}=[]`];
    fields.forEach((field, i) => {
      if (field.type === 'TableValue') {
        const several = i === fields.length - 1 && isMulti(field.value);
        steps.push(`${list}.push(${several ? `...${this.all(field.value)}` : this.value(field.value)})`);
        return;
      }
      const key = field.type === 'TableKeyString' ? JSON.stringify(field.key.name) : this.value(field.key);
      steps.push(`${out.site(field)}put(${t},${list},${key},${this.value(field.value)})`);
    });
    out.release(2);
    return `(${steps.join(',')},fill(${t},${list}))`;
  }
}

/** An operator of Lua 5.3, which LuaJIT does not have. */
export class UnknownOperator extends Error {
  override readonly name = 'UnknownOperator';
  readonly line: number;

  constructor(operator: string, node: Pick<Expression, 'loc'>) {
    super(`unexpected symbol near '${operator}'`);
    this.line = node.loc.start.line;
  }
}

function constantKey(field: TableExpression['fields'][number]): string | undefined {
  if (field.type === 'TableKeyString') return field.key.name;
  return field.type === 'TableKey' && field.key.type === 'StringLiteral' ? stringValue(field.key) : undefined;
}

/** Whether an expression is always true or false. */
function isBoolean(node: Expression): boolean {
  if (node.type === 'BooleanLiteral') return true;
  if (node.type === 'BinaryExpression') return ['==', '~=', '<', '<=', '>', '>='].includes(node.operator);
  if (node.type === 'LogicalExpression') return isBoolean(node.left) && isBoolean(node.right);
  return node.type === 'UnaryExpression' && node.operator === 'not';
}
