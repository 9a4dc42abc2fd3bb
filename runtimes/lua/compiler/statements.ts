/** Code for statements, blocks and functions. */
import type { Chunk, Expression, FunctionNode, Identifier, Statement } from 'luaparse';
import { type Emitter, FunctionState, type Label } from './emitter.ts';
import { Expressions } from './expressions.ts';
import { hasInnerLabel, isCall, isMulti, isNumber, type Scopes, type Variable } from './scope.ts';

/** Stand for what is known only at the end of a function or loop; no string in the code holds them as they are. */
const DEPTH = '\u0001';
const LOOP = '\u0002';
const LABEL = '\u0003';

type Of<T extends Statement['type']> = Extract<Statement, { type: T }>;

export class Statements {
  readonly #out: Emitter;
  readonly #scopes: Scopes;
  readonly #expressions: Expressions;

  constructor(out: Emitter, scopes: Scopes) {
    this.#out = out;
    this.#scopes = scopes;
    this.#expressions = new Expressions(out, scopes, (node) => this.functionValue(node));
  }

  /** Code of a function literal: a value. */
  functionValue(node: FunctionNode | Chunk, name = 'anonymous'): string {
    return this.#wrap(node, this.#function(node, name));
  }

  #wrap(node: FunctionNode | Chunk, code: string): string {
    const info = this.#scopes.functionOf(node);
    const free = [...info.free].map((variable) => (variable.boxed ? `${variable.js}.v` : variable.js));
    const upvalues = free.length > 0 ? `,()=>[${free.join(',')}]` : '';
    if (node.type !== 'Chunk') this.#out.fn.closures++;
    const made = info.waits ? `new F(runToEnd,${code},C,E${upvalues})` : `new F(${code},null,C,E${upvalues})`;
    const boxes = [...info.free].filter(({ boxed }) => boxed).map(({ js }) => js);
    // The function keeps the boxes of this moment.
    const bound = boxes.length > 0 ? `((${boxes.join(',')})=>${made})(${boxes.join(',')})` : made;
    return this.#scopes.environments ? `(E=>${bound})({t:E.t})` : bound;
  }

  /** The JavaScript function. */
  #function(node: FunctionNode | Chunk, name: string): string {
    const info = this.#scopes.functionOf(node);
    const outer = this.#out.fn;
    const fn = new FunctionState(info);
    this.#out.fn = fn;
    const parameters = info.parameters.map(({ js }) => js);
    if (info.vararg) parameters.push('...va');
    const body = this.block(node.body);
    const end = endsWithReturn(node.body) ? '' : `${this.#leave()}return NONE`;
    const depth = String(depthOf(fn));
    const temporaries = Array.from({ length: fn.maxTemporaries }, (_, i) => `t${i}`);
    const declared = temporaries.length > 0 ? `let ${temporaries.join(',')};` : '';
    // A large frame counts for several.
    const enter = info.calls ? `if((S.depth+=${depth})>MAX)overflow();` : '';
    this.#out.fn = outer;
    const head = `function${info.waits ? '*' : ''} ${name}(${parameters.join(',')})`;
    const code = `${declared}${body}${end}`.replaceAll(DEPTH, depth);
    return `${head}{${spend(fn)}${enter}${code}}`;
  }

  /** Counts the depth down where the function ends; the amount is known only at the end of the function. */
  #leave(): string {
    return this.#out.fn.info.calls ? `S.depth-=${DEPTH};` : '';
  }

  block(body: readonly Statement[]): string {
    if (hasInnerLabel(body)) return this.#machine(body);
    const first = body.findIndex(({ type }) => type === 'LabelStatement');
    if (first < 0) return this.#sequence(body);
    const { labels } = this.#out.fn;
    const js = this.#out.unique('C');
    const names = body.slice(first) as Of<'LabelStatement'>[];
    for (const { label } of names) labels.push({ name: label.name, js, state: undefined });
    const code = this.#sequence(body.slice(0, first));
    labels.length -= names.length;
    return `${js}:{${code}}`;
  }

  #sequence(body: readonly Statement[]): string {
    return body.map((statement) => this.#statement(statement)).join('');
  }

  /** A block that is entered at any of its labels: a `switch` in a loop, with the block's variables in front of it. */
  #machine(body: readonly Statement[]): string {
    const { fn } = this.#out;
    const js = this.#out.unique('M');
    const variable = this.#out.unique('pc');
    const labels: Label[] = [];
    for (const [i, statement] of body.entries()) {
      if (statement.type !== 'LabelStatement') continue;
      labels.push({ name: statement.label.name, js, state: { variable, value: i + 1 } });
    }
    fn.labels.push(...labels);
    const weight = fn.weight;
    const code = body
      .map((statement, i) =>
        statement.type === 'LabelStatement' ? `case ${i + 1}:${LABEL}` : this.#statement(statement),
      )
      .join('');
    const spent = `if((S.n-=${fn.weight - weight + 1})<0)S.trip();`;
    fn.labels.length -= labels.length;
    const declared = declaredIn(body)
      .map((identifier) => this.#scopes.variableOf(identifier)?.js)
      .filter((name) => name !== undefined);
    const variables = [...new Set(declared)].map((name) => `,${name}`).join('');
    return `{let ${variable}=0${variables};${js}:for(;;){switch(${variable}){case 0:${code.replaceAll(LABEL, spent)}}break}}`;
  }

  #statement(statement: Statement): string {
    const { fn } = this.#out;
    fn.weight++;
    switch (statement.type) {
      case 'LocalStatement':
        return this.#local(statement);
      case 'AssignmentStatement':
        return this.#assignment(statement);
      case 'CallStatement':
        return this.#expressions.callStatement(statement.expression);
      case 'FunctionDeclaration':
        return this.#functionStatement(statement);
      case 'IfStatement':
        return statement.clauses
          .map(({ condition, body }, i) => {
            const test = condition === undefined ? '' : `if(${this.#expressions.condition(condition)})`;
            return `${i > 0 ? 'else ' : ''}${test}{${this.block(body)}}`;
          })
          .join('');
      case 'WhileStatement':
        return this.#loop((budget) => {
          const condition = this.#expressions.condition(statement.condition);
          return `for(;;){${budget}if(!${condition})break;${this.block(statement.body)}}`;
        });
      case 'RepeatStatement':
        return this.#loop((budget) => this.#repeat(statement, budget));
      case 'DoStatement':
        return `{${this.block(statement.body)}}`;
      case 'ForNumericStatement':
        return this.#forNumeric(statement);
      case 'ForGenericStatement':
        return this.#forGeneric(statement);
      case 'ReturnStatement':
        return this.#return(statement);
      case 'BreakStatement':
        return `break ${fn.loops.at(-1)};`;
      case 'GotoStatement':
        return this.#goto(statement);
      case 'LabelStatement':
        return '';
    }
  }

  #goto({ label }: Of<'GotoStatement'>): string {
    const target = this.#out.fn.labels.findLast(({ name }) => name === label.name);
    // The parser refuses a goto without its label.
    if (target === undefined) throw new Error(`no visible label '${label.name}'`);
    if (target.state === undefined) return `break ${target.js};`;
    return `${target.state.variable}=${target.state.value};continue ${target.js};`;
  }

  /** A loop whose body pays for its own operations. */
  #loop(make: (budget: string) => string): string {
    const { fn } = this.#out;
    const js = this.#out.unique('L');
    fn.loops.push(js);
    const { weight, closures } = fn;
    fn.weight = 1;
    fn.closures = 0;
    const code = make(LOOP);
    const spent = spend(fn);
    fn.weight = weight;
    fn.closures = closures;
    fn.loops.pop();
    return `${js}:${code.replace(LOOP, spent)}`;
  }

  #repeat({ body, condition }: Of<'RepeatStatement'>, budget: string): string {
    // The condition sees the body's variables.
    if (!body.some(({ type }) => type === 'LabelStatement')) {
      return `for(;;){${budget}${this.#sequence(body)}if(${this.#expressions.condition(condition)})break;}`;
    }
    const names = declaredIn(body).map((identifier) => this.#scopes.variableOf(identifier)?.js);
    const declared = names.length > 0 ? `let ${[...new Set(names)].join(',')};` : '';
    const code = hasInnerLabel(body) ? this.#machine(body) : this.block(body);
    // A `let` of the machine would hide the ones that the condition sees.
    const inner = hasInnerLabel(body) ? code.replace(/^\{let (pc[0-9]+=0)[^;]*;/, '{let $1;') : code;
    return `for(;;){${budget}${declared}${inner}if(${this.#expressions.condition(condition)})break;}`;
  }

  #forNumeric(statement: Of<'ForNumericStatement'>): string {
    const variable = this.#scopes.variableOf(statement.variable) as Variable;
    const { start, end, step } = statement;
    const i = this.#out.unique('i');
    const number = (node: Expression, what: string) =>
      isNumber(node, this.#scopes)
        ? this.#expressions.value(node)
        : `${this.#out.site(node)}forNumber(${this.#expressions.value(node)},"${what}")`;
    const from = number(start, 'initial value');
    const to = number(end, 'limit');
    const by = step === null ? '1' : number(step, 'step');
    const constant = step === null || step.type === 'NumericLiteral' || isNegativeLiteral(step);
    const down = step !== null && isNegativeLiteral(step);
    const test = constant ? `${i}${down ? '>=' : '<='}e${i}` : `(s${i}>0?${i}<=e${i}:${i}>=e${i})`;
    const own = variable.captured || variable.reassigned;
    return this.#loop((budget) => {
      const inner = own ? `let ${variable.js}=${i};` : '';
      const code = this.block(statement.body);
      const renamed = own ? '' : `const ${variable.js}=${i};`;
      return `for(let ${i}=${from},e${i}=${to},s${i}=${by};${test};${i}+=s${i}){${budget}${inner}${renamed}{${code}}}`;
    });
  }

  #forGeneric(statement: Of<'ForGenericStatement'>): string {
    const out = this.#out;
    const { waits } = out.fn.info;
    const id = out.unique('g');
    const variables = statement.variables.map((identifier) => (this.#scopes.variableOf(identifier) as Variable).js);
    const [key, value] = variables as [string, string | undefined];
    const init = this.#expressions.list(statement.iterators);
    const site = out.site(statement);
    const call = waits
      ? `((f${id} instanceof F?f${id}:f${id}=callable(f${id})).g===null?f${id}.s(s${id},c${id}):yield* f${id}.g(s${id},c${id}))`
      : `(f${id} instanceof F?f${id}:f${id}=callable(f${id})).s(s${id},c${id})`;
    const finish = waits ? `if(r${id} instanceof Tail)r${id}=yield* finishWaiting(r${id});` : '';
    const rest = variables.map((name, i) => `${name}=r${id}[${i}];`).join('');
    return `{let l${id}=${init},f${id}=l${id}[0],s${id}=l${id}[1],c${id}=l${id}[2],r${id},q${id}=isNext(f${id},s${id},c${id}),x${id}=0;${this.#loop(
      (budget) => {
        const code = this.block(statement.body);
        return `for(;;){${budget}let ${variables.join(',')};if(q${id}){if((x${id}=s${id}.advance(x${id}))===0)break;${key}=s${id}.keyAt(x${id});${
          value === undefined ? '' : `${value}=s${id}.valueAt(x${id});`
        }}else{r${id}=${site}${call};${finish}if(r${id} instanceof Array){r${id}=all(r${id});${rest}}else ${key}=r${id};if(${key}===undefined)break;c${id}=${key};}{${code}}}`;
      },
    )}}`;
  }

  #local(statement: Of<'LocalStatement'>): string {
    const variables = statement.variables.map((identifier) => this.#scopes.variableOf(identifier) as Variable);
    const { init } = statement;
    const [variable] = variables;
    const [value] = init;
    if (variables.length === 1 && init.length === 1 && variable?.fn !== undefined && value !== undefined) {
      return this.#direct(variable, value as FunctionNode);
    }
    if (variables.length === init.length && variables.length === 1) {
      return this.#declare(variable as Variable, this.#expressions.value(value as Expression));
    }
    if (init.length === 0) return variables.map((each) => this.#declare(each, 'undefined')).join('');
    const last = init.at(-1) as Expression;
    if (isMulti(last) && variables.length >= init.length) {
      const t = this.#out.temporary();
      this.#out.release(1);
      const list = this.#expressions.list(init);
      return `${t}=${list};${this.#take(variables, t)}`;
    }
    // Values are evaluated before the new variables are in sight.
    const before = this.#out.fn.temporaries;
    const steps = init.map((node) => {
      const code = node.type === 'FunctionDeclaration' ? this.functionValue(node) : this.#expressions.value(node);
      const t = this.#out.temporary();
      return { t, code: `${t}=${code};` };
    });
    const declared = variables.map((each, i) => this.#declare(each, steps[i]?.t ?? 'undefined', true));
    this.#out.release(this.#out.fn.temporaries - before);
    return steps.map(({ code }) => code).join('') + declared.join('');
  }

  #take(variables: readonly Variable[], list: string): string {
    return variables.map((variable, i) => this.#declare(variable, `${list}[${i}]`, true)).join('');
  }

  /** A declaration; a function that could be called directly but is declared among others is made callable both ways. */
  #declare(variable: Variable, code: string, among = false): string {
    this.#out.fn.locals++;
    if (variable.boxed) return `${variable.js}={v:${code}};`;
    if (variable.hoisted) return `${variable.js}=${code};`;
    if (among && variable.fn !== undefined) {
      const { js, fn } = variable;
      return `let ${js}=${code};const ${js}$=${fn.waits ? `(...a)=>${js}.g(...a)` : `${js}.s`};`;
    }
    return `let ${variable.js}=${code};`;
  }

  /** A local function that never changes: the JavaScript function has a name of its own for direct calls. */
  #direct(variable: Variable, node: FunctionNode): string {
    const { js } = variable;
    this.#out.fn.locals += 2;
    const name = `${js}$`;
    return `const ${name}=${this.#function(node, name)},${js}=${this.#wrap(node, name)};`;
  }

  #functionStatement(statement: FunctionNode): string {
    const { identifier } = statement;
    if (statement.isLocal) {
      const variable = this.#scopes.variableOf(identifier as Identifier) as Variable;
      if (variable.fn !== undefined) return this.#direct(variable, statement);
      const declared = this.#declare(variable, 'undefined');
      const code = this.functionValue(statement, safeName(variable.name));
      return `${declared}${variable.js}${variable.boxed ? '.v' : ''}=${code};`;
    }
    const name = identifier?.type === 'MemberExpression' ? identifier.identifier.name : (identifier?.name ?? '');
    return this.#assign(identifier as Identifier, this.functionValue(statement, safeName(name)));
  }

  #assignment({ variables, init }: Of<'AssignmentStatement'>): string {
    const [target] = variables;
    const [value] = init;
    if (variables.length === 1 && init.length === 1 && target !== undefined && value !== undefined) {
      return this.#assign(target, this.#expressions.value(value));
    }
    const before = this.#out.fn.temporaries;
    const steps: string[] = [];
    const keep = (code: string) => {
      const t = this.#out.temporary();
      steps.push(`${t}=${code};`);
      return t;
    };
    const stores = variables.map((node) => {
      if (node.type === 'Identifier') return (code: string) => this.#assign(node, code);
      const base = keep(this.#expressions.value(node.base));
      const key =
        node.type === 'MemberExpression'
          ? JSON.stringify(node.identifier.name)
          : keep(this.#expressions.value(node.index));
      const site = this.#out.site(node, [this.#expressions.describe(node.base)]);
      return (code: string) => `${site}setIndex(${base},${key},${code});`;
    });
    let values: string[];
    if (isMulti(init.at(-1) as Expression) && variables.length >= init.length) {
      const list = keep(this.#expressions.list(init));
      values = variables.map((_, i) => `${list}[${i}]`);
    } else {
      values = init.map((node) => keep(this.#expressions.value(node)));
    }
    const code = stores.map((store, i) => store(values[i] ?? 'undefined')).reverse();
    this.#out.release(this.#out.fn.temporaries - before);
    return steps.join('') + code.join('');
  }

  #assign(target: Expression, code: string): string {
    if (target.type === 'Identifier') {
      const variable = this.#scopes.variableOf(target);
      if (variable === undefined) {
        return `${this.#out.site(target)}setGlobal(E,${JSON.stringify(target.name)},${code});`;
      }
      return `${variable.js}${variable.boxed ? '.v' : ''}=${code};`;
    }
    if (target.type === 'MemberExpression') {
      const site = this.#out.site(target, [this.#expressions.describe(target.base)]);
      return `${site}setIndex(${this.#expressions.value(target.base)},${JSON.stringify(target.identifier.name)},${code});`;
    }
    const { base, index } = target as Extract<Expression, { type: 'IndexExpression' }>;
    const site = this.#out.site(target, [this.#expressions.describe(base)]);
    const helper = isNumber(index, this.#scopes) ? 'setIndexNumber' : 'setIndex';
    return `${site}${helper}(${this.#expressions.value(base)},${this.#expressions.value(index)},${code});`;
  }

  #return({ arguments: values }: Of<'ReturnStatement'>): string {
    const [value] = values;
    const leave = this.#leave();
    if (value === undefined) return `${leave}return NONE;`;
    if (values.length === 1 && isCall(value) && value.inParens !== true) {
      const tail = leave === '' ? '0' : leave.slice(0, -1);
      return `return (${this.#expressions.call(value, tail)});`;
    }
    const code =
      values.length === 1 && !isMulti(value)
        ? this.#expressions.value(value)
        : this.#copied(this.#expressions.list(values));
    if (leave === '') return `return (${code});`;
    const t = this.#out.temporary();
    this.#out.release(1);
    return `${t}=${code};${leave}return ${t};`;
  }

  /** `va` itself would be the array that the function goes on using. */
  #copied(list: string): string {
    return list === 'va' ? '[...va]' : list;
  }
}

/** Bytes that a function value takes. */
const CLOSURE_SIZE = 160;

/** Code that pays for the operations of a function's body, or of one round of a loop. */
function spend({ weight, closures }: FunctionState): string {
  const memory = closures > 0 ? `if((S.mem-=${closures * CLOSURE_SIZE})<0)S.collect();` : '';
  return `if((S.n-=${weight})<0)S.trip();${memory}`;
}

const safeName = (name: string) => `$${name.replace(/[^A-Za-z0-9_]/g, '_')}`;

/** How much of the stack a call of this function takes. */
function depthOf(fn: FunctionState): number {
  return 1 + ((fn.maxTemporaries + fn.locals + fn.info.parameters.length) >> 5);
}

function endsWithReturn(body: readonly Statement[]): boolean {
  return body.at(-1)?.type === 'ReturnStatement' && !body.some(({ type }) => type === 'LabelStatement');
}

function declaredIn(body: readonly Statement[]): Identifier[] {
  return body.flatMap((statement) => {
    if (statement.type === 'LocalStatement') return statement.variables;
    return statement.type === 'FunctionDeclaration' && statement.isLocal ? [statement.identifier as Identifier] : [];
  });
}

function isNegativeLiteral(node: Expression): boolean {
  return node.type === 'UnaryExpression' && node.operator === '-' && node.argument.type === 'NumericLiteral';
}
