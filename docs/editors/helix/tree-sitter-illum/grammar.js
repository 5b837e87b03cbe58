// A tree-sitter grammar of illumine's replay scripts (docs/replay.md). `tree-sitter generate` makes
// src/parser.c from it.

const KINDS = [
  'equals',
  'contains',
  'contains-any',
  'contains-all',
  'icontains',
  'icontains-any',
  'icontains-all',
  'regex',
  'starts-with',
  'ends-with',
  'one-of',
  'is-json',
  'json-schema',
  'language',
  'same-as',
  'golden',
  'contains-json',
  'longer-than',
  'words',
  'sentences',
  'characters',
  'levenshtein',
  'bleu',
  'rouge-1',
  'rouge-2',
  'rouge-l',
  'repetition',
  'distinct-1',
  'distinct-2',
  'distinct-3',
  'similar',
  'similar-to',
  'overlap-with',
  'perplexity',
  'self-bleu',
  'tokens',
  'finish',
  'latency',
  'tokens-per-second',
  'refused',
  'pictures',
  'picture-size',
  'picture-hash',
  'picture-style',
  'picture-shows',
  'cost',
  'promptfoo-equals',
  'promptfoo-starts-with',
  'promptfoo-word-count',
  'promptfoo-levenshtein',
  'promptfoo-rouge-n',
  'promptfoo-bleu',
];

const WORDS = [
  'case',
  'include',
  'let',
  'matrix',
  'mode',
  'model',
  'repeat',
  'rows',
  'set',
  'system',
  'threshold',
];

module.exports = grammar({
  name: 'illum',

  extras: _ => [/[ \t\r]/],

  rules: {
    source_file: $ => seq(repeat(seq(optional($._line), '\n')), optional($._line)),

    _line: $ => choice($.header, $.comment, $.typed, $.setting, $.expectation),

    header: _ => token(prec(1, /illumine-replay [0-9]+/)),

    comment: _ => /#[^\n]*/,

    // A line that ends with a backslash continues on the next one.
    typed: _ => /[>\/]([^\n\\]|\\[^\n]|\\\n)*\\?/,

    setting: $ => seq(field('name', $.word), repeat($._argument)),

    word: _ => choice(...WORDS),

    expectation: $ => seq(
      'expect',
      optional(seq('weight', $.number)),
      optional($.target),
      $.kind,
      repeat($._argument),
    ),

    target: _ => choice('text', 'story', 'answer'),

    kind: _ => choice(...KINDS, ...KINDS.map(name => `not-${name}`)),

    _argument: $ => choice($.string, $.operator, $.number, $.variable, $.text),

    string: _ => /"([^"\\\n]|\\[^\n])*"/,

    operator: _ => choice('<=', '<', '>=', '>', '==', '!=', '='),

    number: _ => token(prec(1, /-?[0-9]+(\.[0-9]+)?(\.\.-?[0-9]+(\.[0-9]+)?)?/)),

    variable: _ => token(prec(1, /\{\{[^}\n]*\}\}/)),

    text: _ => /[^\s"]+/,
  },
});
