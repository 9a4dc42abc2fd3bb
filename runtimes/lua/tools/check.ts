/** `weir check`: what can be said of a script without running it: syntax, unknown globals, unknown methods, misspelt hooks. */
import type { Chunk, Expression, Identifier, Statement } from 'luaparse';
import { LuaSyntaxError, parseLua } from '../compiler/parse.ts';
import { argumentsOf, resolve, type Scopes, type Variable } from '../compiler/scope.ts';
import { classNameOf, HOOKS, kindOfResult, librarySignatures, signaturesOf } from './signatures.ts';

export interface Finding {
  message: string;
  /** From 1. */
  line: number;
  column: number | undefined;
  hint: string | undefined;
}

/** Finds the known name that a wrong one most likely stands for. */
export type Nearest = (wrong: string, known: readonly string[]) => string | undefined;

/** @param globals the names that every script finds. */
export function checkScript(source: string, globals: readonly string[], nearest: Nearest): Finding[] {
  let chunk: Chunk;
  try {
    chunk = parseLua(source);
  } catch (error) {
    if (!(error instanceof LuaSyntaxError)) throw error;
    return [{ message: error.message, line: error.line, column: error.column, hint: undefined }];
  }
  return new Checker(chunk, globals, nearest).findings;
}

class Checker {
  readonly findings: Finding[] = [];
  readonly #scopes: Scopes;
  readonly #nearest: Nearest;
  /** Globals that the script makes, by what they are. */
  readonly #assigned = new Map<string, Identifier>();
  readonly #read: Identifier[] = [];
  /** Variables whose kind of object is known. */
  readonly #kinds = new Map<Variable, string>();

  constructor(chunk: Chunk, globals: readonly string[], nearest: Nearest) {
    this.#scopes = resolve(chunk);
    this.#nearest = nearest;
    this.#statements(chunk.body);
    this.#checkGlobals(globals);
    this.#checkHooks();
    this.findings.sort((a, b) => a.line - b.line);
  }

  #report(node: { loc: Expression['loc'] }, message: string, wrong: string, known: readonly string[]): void {
    const near = this.#nearest(wrong, known);
    const { line, column } = node.loc.start;
    const hint = near === undefined ? undefined : `did you mean \`${near}\`?`;
    this.findings.push({ message, line, column: column + 1, hint });
  }

  #checkGlobals(known: readonly string[]): void {
    const reported = new Set<string>();
    for (const identifier of this.#read) {
      const { name } = identifier;
      if (known.includes(name) || this.#assigned.has(name) || reported.has(name)) continue;
      reported.add(name);
      this.#report(identifier, `there is no global \`${name}\``, name, [...known, ...this.#assigned.keys()]);
    }
  }

  #checkHooks(): void {
    for (const [name, identifier] of this.#assigned) {
      if (HOOKS.includes(name)) continue;
      const near = this.#nearest(name, HOOKS);
      if (near !== undefined) this.#report(identifier, `nothing calls \`${name}\``, name, HOOKS);
    }
    if (!HOOKS.some((hook) => this.#assigned.has(hook)) && this.findings.length === 0 && this.#assigned.size > 0) {
      const [first] = this.#assigned.values();
      if (first !== undefined) this.#report(first, `the script has none of ${HOOKS.join(', ')}`, '', []);
    }
  }

  #statements(body: readonly Statement[]): void {
    for (const statement of body) this.#statement(statement);
  }

  #statement(statement: Statement): void {
    switch (statement.type) {
      case 'LocalStatement':
        for (const value of statement.init) this.#expression(value);
        for (const [i, identifier] of statement.variables.entries()) this.#learn(identifier, statement.init[i]);
        return;
      case 'AssignmentStatement':
        for (const value of statement.init) this.#expression(value);
        for (const target of statement.variables) this.#target(target);
        return;
      case 'CallStatement':
        this.#expression(statement.expression);
        return;
      case 'FunctionDeclaration':
        if (statement.identifier !== null && !statement.isLocal) this.#target(statement.identifier);
        if (statement.identifier?.type === 'Identifier' && HOOKS.includes(statement.identifier.name)) {
          const [handle] = statement.parameters;
          const variable = handle?.type === 'Identifier' ? this.#scopes.variableOf(handle) : undefined;
          if (variable?.reassigned === false) this.#kinds.set(variable, 'handle');
        }
        this.#statements(statement.body);
        return;
      case 'IfStatement':
        for (const { condition, body } of statement.clauses) {
          if (condition !== undefined) this.#expression(condition);
          this.#statements(body);
        }
        return;
      case 'WhileStatement':
      case 'RepeatStatement':
        this.#expression(statement.condition);
        this.#statements(statement.body);
        return;
      case 'DoStatement':
        this.#statements(statement.body);
        return;
      case 'ForNumericStatement':
        for (const value of [statement.start, statement.end, statement.step])
          if (value !== null) this.#expression(value);
        this.#statements(statement.body);
        return;
      case 'ForGenericStatement': {
        for (const value of statement.iterators) this.#expression(value);
        const [iterator] = statement.iterators;
        const [first] = statement.variables;
        const method =
          iterator?.type === 'CallExpression' && iterator.base.type === 'MemberExpression' ? iterator.base : undefined;
        const variable = first === undefined ? undefined : this.#scopes.variableOf(first);
        if (method?.identifier.name === 'bodyChunks' && variable !== undefined) this.#kinds.set(variable, 'buffer');
        this.#statements(statement.body);
        return;
      }
      case 'ReturnStatement':
        for (const value of statement.arguments) this.#expression(value);
    }
  }

  #learn(identifier: Identifier, value: Expression | undefined): void {
    const variable = this.#scopes.variableOf(identifier);
    const kind = value === undefined ? undefined : this.#kindOf(value);
    if (variable?.reassigned === false && kind !== undefined) this.#kinds.set(variable, kind);
  }

  #target(target: Expression): void {
    if (target.type === 'Identifier' && this.#scopes.variableOf(target) === undefined) {
      if (!this.#assigned.has(target.name)) this.#assigned.set(target.name, target);
    } else this.#expression(target);
  }

  #expression(node: Expression): void {
    switch (node.type) {
      case 'Identifier':
        if (this.#scopes.variableOf(node) === undefined) this.#read.push(node);
        return;
      case 'FunctionDeclaration':
        this.#statements(node.body);
        return;
      case 'MemberExpression':
        this.#expression(node.base);
        this.#member(node);
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

  #member({ base, indexer, identifier }: Extract<Expression, { type: 'MemberExpression' }>): void {
    const kind = this.#kindOf(base);
    if (kind !== undefined) {
      const known = signaturesOf(kind).map(({ name }) => name);
      if (!known.includes(identifier.name)) {
        this.#report(identifier, `${classNameOf(kind)} has no method \`${identifier.name}\``, identifier.name, known);
      }
      return;
    }
    const isWeir = base.type === 'Identifier' && base.name === 'weir' && this.#scopes.variableOf(base) === undefined;
    if (!isWeir || indexer !== '.') return;
    const known = ['config', ...librarySignatures().map(({ name }) => name.split('.')[0] as string)];
    if (known.includes(identifier.name)) return;
    this.#report(identifier, `\`weir\` has no \`${identifier.name}\``, identifier.name, known);
  }

  #kindOf(node: Expression): string | undefined {
    if (node.type === 'Identifier') {
      const variable = this.#scopes.variableOf(node);
      return variable === undefined ? undefined : this.#kinds.get(variable);
    }
    if (node.type !== 'CallExpression' || node.base.type !== 'MemberExpression') return undefined;
    const kind = this.#kindOf(node.base.base);
    const name = node.base.identifier.name;
    const signature = kind === undefined ? undefined : signaturesOf(kind).find((each) => each.name === name);
    return signature === undefined ? undefined : kindOfResult(signature.returns);
  }
}
