/** Which variable a name means, and what is known of variables and functions before code is made. */
import type { Chunk, Expression, FunctionNode, Identifier, Statement } from 'luaparse';
import { isSafeCall, isSafeIterator } from './library.ts';

export class Variable {
  readonly name: string;
  /** Its name in the generated code. */
  readonly js: string;
  readonly owner: FunctionInfo;
  captured = false;
  /** Assigned after its declaration. */
  reassigned = false;
  /** All values that it is given; `undefined` stands for one that is not known. */
  readonly values: (Expression | undefined)[] = [];
  /** It holds nothing but numbers. */
  numeric = false;
  /** The function that it always holds. */
  fn: FunctionInfo | undefined = undefined;
  /** Declared in front of a block with labels, which is run by a `switch`. */
  hoisted = false;

  constructor(name: string, js: string, owner: FunctionInfo) {
    this.name = name;
    this.js = js;
    this.owner = owner;
  }

  /** Each run of the declaration makes a new variable though its JavaScript variable stays. */
  get boxed(): boolean {
    return this.hoisted && this.captured;
  }
}

export class FunctionInfo {
  readonly parent: FunctionInfo | undefined;
  readonly node: FunctionNode | Chunk;
  readonly parameters: Variable[] = [];
  vararg = false;
  /** It may have to wait: it calls something that is not known never to wait. */
  waits = false;
  /** It calls anything at all. */
  calls = false;
  readonly callees: FunctionInfo[] = [];
  /** Variables of surrounding functions that it uses. */
  readonly free = new Set<Variable>();

  constructor(parent: FunctionInfo | undefined, node: FunctionNode | Chunk) {
    this.parent = parent;
    this.node = node;
  }
}

/** What the code generator looks up. */
export interface Scopes {
  /** `undefined`: a global. */
  variableOf(identifier: Identifier): Variable | undefined;
  functionOf(node: FunctionNode | Chunk): FunctionInfo;
  /** The source speaks of `setfenv` or `getfenv`: every function has an environment of its own. */
  readonly environments: boolean;
}

export function resolve(chunk: Chunk): Scopes {
  const resolver = new Resolver();
  resolver.run(chunk);
  return resolver;
}

/** Whether a block needs a `switch`: it has a label that is not at its end. */
export function hasInnerLabel(body: readonly Statement[]): boolean {
  return body.some((statement, i) => statement.type === 'LabelStatement' && !isAtEnd(body, i));
}

function isAtEnd(body: readonly Statement[], index: number): boolean {
  return body.slice(index).every((statement) => statement.type === 'LabelStatement');
}

interface Call {
  caller: FunctionInfo;
  base: Expression;
  iterator: boolean;
}

class Resolver implements Scopes {
  environments = false;
  readonly #variables = new Map<Identifier, Variable>();
  readonly #functions = new Map<FunctionNode | Chunk, FunctionInfo>();
  readonly #all: Variable[] = [];
  readonly #calls: Call[] = [];
  /** Globals that the source assigns to, or to a field of. */
  readonly #assigned = new Set<string>();
  #scopes: Map<string, Variable>[] = [];
  #function!: FunctionInfo;

  variableOf(identifier: Identifier): Variable | undefined {
    return this.#variables.get(identifier);
  }

  functionOf(node: FunctionNode | Chunk): FunctionInfo {
    return this.#functions.get(node) as FunctionInfo;
  }

  run(chunk: Chunk): void {
    const info = new FunctionInfo(undefined, chunk);
    info.vararg = true;
    this.#functions.set(chunk, info);
    this.#function = info;
    this.#block(chunk.body);
    this.#findFunctions();
    this.#findWaits();
    this.#findNumbers();
  }

  #declare(identifier: Identifier, hoisted = false): Variable {
    const safe = identifier.name.replace(/[^A-Za-z0-9_]/g, '_');
    const variable = new Variable(identifier.name, `${safe}$${this.#all.length}`, this.#function);
    variable.hoisted = hoisted;
    this.#all.push(variable);
    this.#scopes.at(-1)?.set(identifier.name, variable);
    this.#variables.set(identifier, variable);
    return variable;
  }

  #use(identifier: Identifier): Variable | undefined {
    for (let i = this.#scopes.length - 1; i >= 0; i--) {
      const variable = this.#scopes[i]?.get(identifier.name);
      if (variable === undefined) continue;
      this.#variables.set(identifier, variable);
      if (variable.owner !== this.#function) {
        variable.captured = true;
        for (
          let info: FunctionInfo | undefined = this.#function;
          info !== undefined && info !== variable.owner;
          info = info.parent
        ) {
          info.free.add(variable);
        }
      }
      return variable;
    }
    if (identifier.name === 'setfenv' || identifier.name === 'getfenv') this.environments = true;
    return undefined;
  }

  #block(body: readonly Statement[], declared: readonly Identifier[] = []): Variable[] {
    this.#scopes.push(new Map());
    const variables = declared.map((identifier) => this.#declare(identifier));
    this.#statements(body, hasInnerLabel(body));
    this.#scopes.pop();
    return variables;
  }

  #statements(body: readonly Statement[], hoisted: boolean): void {
    for (const statement of body) this.#statement(statement, hoisted);
  }

  #statement(statement: Statement, hoisted: boolean): void {
    switch (statement.type) {
      case 'LocalStatement': {
        for (const value of statement.init) this.#expression(value);
        statement.variables.forEach((identifier, i) => {
          this.#declare(identifier, hoisted).values.push(statement.init[i]);
        });
        return;
      }
      case 'AssignmentStatement':
        for (const value of statement.init) this.#expression(value);
        statement.variables.forEach((target, i) => {
          this.#expression(target);
          this.#assign(target, statement.init[i]);
        });
        return;
      case 'CallStatement':
        this.#expression(statement.expression);
        return;
      case 'FunctionDeclaration':
        this.#functionStatement(statement, hoisted);
        return;
      case 'IfStatement':
        for (const { condition, body } of statement.clauses) {
          if (condition !== undefined) this.#expression(condition);
          this.#block(body);
        }
        return;
      case 'WhileStatement':
        this.#expression(statement.condition);
        this.#block(statement.body);
        return;
      case 'RepeatStatement':
        this.#scopes.push(new Map());
        this.#statements(
          statement.body,
          statement.body.some(({ type }) => type === 'LabelStatement'),
        );
        this.#expression(statement.condition);
        this.#scopes.pop();
        return;
      case 'DoStatement':
        this.#block(statement.body);
        return;
      case 'ForNumericStatement': {
        for (const value of [statement.start, statement.end, statement.step])
          if (value !== null) this.#expression(value);
        const [variable] = this.#block(statement.body, [statement.variable]);
        // The loop gives it numbers; other values are its assignments.
        if (variable !== undefined && variable.values.length === 0) variable.values.push(ZERO);
        return;
      }
      case 'ForGenericStatement': {
        for (const value of statement.iterators) this.#expression(value);
        const [iterator] = statement.iterators;
        if (iterator !== undefined) this.#calls.push({ caller: this.#function, base: iterator, iterator: true });
        this.#function.calls = true;
        for (const variable of this.#block(statement.body, statement.variables)) variable.values.push(undefined);
        return;
      }
      case 'ReturnStatement':
        for (const value of statement.arguments) this.#expression(value);
    }
  }

  #functionStatement(statement: FunctionNode, hoisted: boolean): void {
    const { identifier } = statement;
    if (identifier === null) return;
    if (statement.isLocal) {
      this.#declare(identifier as Identifier, hoisted).values.push(statement);
      this.#functionBody(statement);
      return;
    }
    this.#expression(identifier);
    this.#assign(identifier, statement);
    this.#functionBody(statement);
  }

  #assign(target: Expression, value: Expression | undefined): void {
    if (target.type === 'Identifier') {
      const variable = this.#variables.get(target);
      if (variable === undefined) this.#assigned.add(target.name);
      else {
        variable.reassigned = true;
        variable.values.push(value);
      }
    } else if (target.type === 'MemberExpression' || target.type === 'IndexExpression') {
      const { base } = target;
      if (base.type === 'Identifier' && !this.#variables.has(base)) this.#assigned.add(base.name);
    }
  }

  #functionBody(node: FunctionNode): void {
    const info = new FunctionInfo(this.#function, node);
    this.#functions.set(node, info);
    const outer = this.#function;
    this.#function = info;
    this.#scopes.push(new Map());
    if (node.identifier?.type === 'MemberExpression' && node.identifier.indexer === ':') {
      info.parameters.push(this.#declare({ type: 'Identifier', name: 'self', loc: node.loc, range: node.range }));
    }
    for (const parameter of node.parameters) {
      if (parameter.type === 'VarargLiteral') info.vararg = true;
      else info.parameters.push(this.#declare(parameter));
    }
    for (const parameter of info.parameters) parameter.values.push(undefined);
    this.#statements(node.body, hasInnerLabel(node.body));
    this.#scopes.pop();
    this.#function = outer;
  }

  #expression(node: Expression): void {
    switch (node.type) {
      case 'Identifier':
        this.#use(node);
        return;
      case 'FunctionDeclaration':
        this.#functionBody(node);
        return;
      case 'MemberExpression':
        this.#expression(node.base);
        return;
      case 'IndexExpression':
        this.#expression(node.base);
        this.#expression(node.index);
        return;
      case 'CallExpression':
      case 'TableCallExpression':
      case 'StringCallExpression':
        this.#expression(node.base);
        for (const argument of argumentsOf(node)) this.#expression(argument);
        this.#function.calls = true;
        this.#calls.push({ caller: this.#function, base: node.base, iterator: false });
        return;
      case 'BinaryExpression':
      case 'LogicalExpression':
        this.#expression(node.left);
        this.#expression(node.right);
        return;
      case 'UnaryExpression':
        this.#expression(node.argument);
        return;
      case 'TableConstructorExpression':
        for (const field of node.fields) {
          if (field.type === 'TableKey') this.#expression(field.key);
          this.#expression(field.value);
        }
    }
  }

  /** Local functions that are never assigned again are called without looking. */
  #findFunctions(): void {
    for (const variable of this.#all) {
      const [value] = variable.values;
      if (variable.reassigned || variable.hoisted || this.environments || variable.values.length !== 1) continue;
      if (value?.type === 'FunctionDeclaration') variable.fn = this.#functions.get(value);
    }
  }

  #findWaits(): void {
    const known = (name: string) => !this.#assigned.has(name) && !this.environments;
    for (const { caller, base, iterator } of this.#calls) {
      const fn = base.type === 'Identifier' ? this.#variables.get(base)?.fn : undefined;
      if (iterator) {
        if (!isSafeIterator(base, (id) => !this.#variables.has(id) && known(id.name))) caller.waits = true;
      } else if (fn !== undefined) caller.callees.push(fn);
      else if (!isSafeCall(base, (id) => !this.#variables.has(id) && known(id.name))) caller.waits = true;
    }
    for (let changed = true; changed; ) {
      changed = false;
      for (const info of this.#functions.values()) {
        if (info.waits || !info.callees.some((callee) => callee.waits)) continue;
        info.waits = true;
        changed = true;
      }
    }
  }

  #findNumbers(): void {
    for (const variable of this.#all) {
      variable.numeric = variable.values.length > 0 && variable.values.every((value) => value !== undefined);
    }
    for (let changed = true; changed; ) {
      changed = false;
      for (const variable of this.#all) {
        if (!variable.numeric || variable.values.every((value) => isNumber(value, this))) continue;
        variable.numeric = false;
        changed = true;
      }
    }
  }
}

const ZERO: Expression = {
  type: 'NumericLiteral',
  value: 0,
  loc: { start: { line: 0, column: 0 }, end: { line: 0, column: 0 } },
  range: [0, 0],
};

export function argumentsOf(node: Expression): readonly Expression[] {
  if (node.type === 'CallExpression') return node.arguments;
  if (node.type === 'TableCallExpression') return [node.arguments];
  return node.type === 'StringCallExpression' ? [node.argument] : [];
}

/** Whether an expression can have another number of values than one. */
export function isMulti(node: Expression): boolean {
  if (node.inParens === true) return false;
  return node.type === 'VarargLiteral' || isCall(node);
}

export function isCall(node: Expression): boolean {
  return node.type === 'CallExpression' || node.type === 'TableCallExpression' || node.type === 'StringCallExpression';
}

const ARITHMETIC = new Set(['+', '-', '*', '/', '%', '^']);

/** Whether an expression is always a number. */
export function isNumber(node: Expression | undefined, scopes: Pick<Scopes, 'variableOf'>): boolean {
  switch (node?.type) {
    case 'NumericLiteral':
      return true;
    case 'Identifier':
      return scopes.variableOf(node)?.numeric === true;
    case 'UnaryExpression':
      return node.operator === '-' && isNumber(node.argument, scopes);
    case 'BinaryExpression':
      return ARITHMETIC.has(node.operator) && isNumber(node.left, scopes) && isNumber(node.right, scopes);
    default:
      return false;
  }
}
