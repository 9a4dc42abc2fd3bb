/** The part of luaparse that is used here. Source: its README, "Abstract Syntax Tree"; 0.3.1. */
declare module 'luaparse' {
  export interface Position {
    line: number;
    column: number;
  }
  interface Base {
    loc: { start: Position; end: Position };
    /** Offsets in the source: the first character, and the one behind the last. */
    range: [number, number];
    /** In parentheses, which cut several values down to one; parse.ts finds this out. */
    inParens?: boolean;
  }
  export interface Identifier extends Base {
    type: 'Identifier';
    name: string;
  }
  export interface FunctionNode extends Base {
    type: 'FunctionDeclaration';
    identifier: Identifier | MemberExpression | null;
    isLocal: boolean;
    parameters: (Identifier | VarargLiteral)[];
    body: Statement[];
  }
  export interface VarargLiteral extends Base {
    type: 'VarargLiteral';
  }
  export interface MemberExpression extends Base {
    type: 'MemberExpression';
    indexer: '.' | ':';
    identifier: Identifier;
    base: Expression;
  }
  export interface IndexExpression extends Base {
    type: 'IndexExpression';
    base: Expression;
    index: Expression;
  }
  export interface CallExpression extends Base {
    type: 'CallExpression';
    base: Expression;
    arguments: Expression[];
  }
  export interface TableCallExpression extends Base {
    type: 'TableCallExpression';
    base: Expression;
    arguments: Expression;
  }
  export interface StringCallExpression extends Base {
    type: 'StringCallExpression';
    base: Expression;
    argument: Expression;
  }
  export interface BinaryExpression extends Base {
    type: 'BinaryExpression' | 'LogicalExpression';
    operator: string;
    left: Expression;
    right: Expression;
  }
  export interface UnaryExpression extends Base {
    type: 'UnaryExpression';
    operator: '-' | 'not' | '#' | '~';
    argument: Expression;
  }
  export type TableField =
    | (Base & { type: 'TableKey'; key: Expression; value: Expression })
    | (Base & { type: 'TableKeyString'; key: Identifier; value: Expression })
    | (Base & { type: 'TableValue'; value: Expression });
  export interface TableExpression extends Base {
    type: 'TableConstructorExpression';
    fields: TableField[];
  }
  export type Call = CallExpression | TableCallExpression | StringCallExpression;
  export type Expression =
    | Identifier
    | FunctionNode
    | VarargLiteral
    | MemberExpression
    | IndexExpression
    | Call
    | BinaryExpression
    | UnaryExpression
    | TableExpression
    | (Base & { type: 'StringLiteral'; value: string })
    | (Base & { type: 'NumericLiteral'; value: number })
    | (Base & { type: 'BooleanLiteral'; value: boolean })
    | (Base & { type: 'NilLiteral' });
  export type Statement =
    | FunctionNode
    | (Base & { type: 'LocalStatement'; variables: Identifier[]; init: Expression[] })
    | (Base & {
        type: 'AssignmentStatement';
        variables: (Identifier | MemberExpression | IndexExpression)[];
        init: Expression[];
      })
    | (Base & { type: 'CallStatement'; expression: Call })
    | (Base & { type: 'IfStatement'; clauses: { condition?: Expression; body: Statement[] }[] })
    | (Base & { type: 'WhileStatement'; condition: Expression; body: Statement[] })
    | (Base & { type: 'RepeatStatement'; condition: Expression; body: Statement[] })
    | (Base & { type: 'DoStatement'; body: Statement[] })
    | (Base & {
        type: 'ForNumericStatement';
        variable: Identifier;
        start: Expression;
        end: Expression;
        step: Expression | null;
        body: Statement[];
      })
    | (Base & { type: 'ForGenericStatement'; variables: Identifier[]; iterators: Expression[]; body: Statement[] })
    | (Base & { type: 'ReturnStatement'; arguments: Expression[] })
    | (Base & { type: 'BreakStatement' })
    | (Base & { type: 'GotoStatement'; label: Identifier })
    | (Base & { type: 'LabelStatement'; label: Identifier });
  export interface Chunk extends Base {
    type: 'Chunk';
    body: Statement[];
  }
  export function parse(
    source: string,
    options: {
      luaVersion: string;
      encodingMode: string;
      locations: boolean;
      ranges: boolean;
      comments: boolean;
      onCreateNode: (node: Statement | Expression | Chunk) => void;
    },
  ): Chunk;
}
