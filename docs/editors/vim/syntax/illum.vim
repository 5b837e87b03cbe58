" Vim syntax file for illumine's replay scripts (docs/replay.md).
if exists("b:current_syntax")
  finish
endif

syntax match illumHeader /^illumine-replay \d\+/
syntax match illumComment /^\s*#.*/
syntax match illumTyped /^>.*/ contains=illumCommand,illumVariable
syntax match illumCommand +^\(> \?\)\?/[^/ ]\+\( \|$\)\@=+
syntax match illumWord /^\s*\(answers\|backend\|case\|device\|include\|let\|matrix\|mode\|model\|repeat\|rows\|set\|system\|threads\|threshold\)\>/
syntax match illumExpect /^\s*expect\>/ nextgroup=illumWeight,illumTarget,illumKind skipwhite
syntax match illumWeight /\<weight\s\+[0-9.]\+/ contained nextgroup=illumTarget,illumKind skipwhite
syntax match illumKind /\(not-\)\?equals\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?contains\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?contains-any\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?contains-all\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?icontains\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?icontains-any\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?icontains-all\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?regex\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?starts-with\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?ends-with\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?one-of\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?is-json\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?json-schema\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?language\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?same-as\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?golden\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?contains-json\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?longer-than\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?words\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?sentences\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?characters\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?levenshtein\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?bleu\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?rouge-1\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?rouge-2\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?rouge-l\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?repetition\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?distinct-1\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?distinct-2\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?distinct-3\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?similar\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?similar-to\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?overlap-with\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?perplexity\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?self-bleu\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?tokens\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?finish\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?latency\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?tokens-per-second\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?refused\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?pictures\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?picture-size\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?picture-hash\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?picture-style\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?picture-shows\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?cost\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-equals\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-starts-with\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-contains-html\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-is-refusal\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-word-count\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-levenshtein\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-rouge-n\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-bleu\(\s\|$\)\@=/ contained
syntax match illumKind /\(not-\)\?promptfoo-gleu\(\s\|$\)\@=/ contained
syntax match illumTarget /\<\(text\|story\|answer\)\>/ contained nextgroup=illumKind skipwhite
syntax region illumString start=/"/ skip=/\\./ end=/"/ oneline contains=illumVariable
syntax match illumVariable /{{[^}]*}}/
syntax match illumComparison /\(<=\|>=\|==\|!=\|\s<\|\s>\)\s*-\?\d\+\(\.\d\+\)\?/
syntax match illumComparison /\<\d\+\(\.\d\+\)\?\.\.\d\+\(\.\d\+\)\?/

highlight default link illumHeader PreProc
highlight default link illumComment Comment
highlight default link illumTyped String
highlight default link illumCommand Function
highlight default link illumWord Keyword
highlight default link illumExpect Statement
highlight default link illumWeight Type
highlight default link illumTarget Type
highlight default link illumKind Identifier
highlight default link illumString Constant
highlight default link illumVariable Special
highlight default link illumComparison Number

let b:current_syntax = "illum"
