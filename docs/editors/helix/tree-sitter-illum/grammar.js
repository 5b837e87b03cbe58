// A tree-sitter grammar of illumine's replay scripts (docs/replay.md). src/parser.c is made from it by
// `tree-sitter generate`. The names of settings and expectations are in highlights.scm, so that the
// grammar stays the same when there are new ones.

module.exports = grammar({
  name: 'illum',

  extras: _ => [/[ \t\r]/],

  word: $ => $._name,

  rules: {
    source_file: $ => seq(repeat(seq(optional($._line), '\n')), optional($._line)),

    _line: $ => choice($.header, $.comment, $.typed, $.setting, $.expectation),

    header: _ => token(prec(1, /illumine-replay [0-9]+/)),

    comment: _ => /#[^\n]*/,

    // A line that ends with a backslash continues on the next one.
    typed: _ => /[>\/]([^\n\\]|\\[^\n]|\\\n)*\\?/,

    setting: $ => seq(alias($._name, $.word), repeat($._argument)),

    expectation: $ => seq(
      'expect',
      optional(seq('weight', $.number)),
      optional($.target),
      alias($._name, $.kind),
      repeat($._argument),
    ),

    target: _ => choice('text', 'story', 'answer'),

    _name: _ => /[a-z][a-z0-9-]*/,

    _argument: $ => choice($.string, $.operator, $.number, $.variable, $.text),

    string: _ => /"([^"\\\n]|\\[^\n])*"/,

    operator: _ => choice('<=', '<', '>=', '>', '==', '!=', '='),

    number: _ => token(prec(1, /-?[0-9]+(\.[0-9]+)?(\.\.-?[0-9]+(\.[0-9]+)?)?/)),

    variable: _ => token(prec(1, /\{\{[^}\n]*\}\}/)),

    text: _ => /[^\s"]+/,
  },
});
