" Vim syntax file for illumine's replay scripts (docs/replay.md).
if exists("b:current_syntax")
  finish
endif

syntax match illumHeader /^illumine-replay \d\+/
syntax match illumComment /^\s*#.*/
syntax match illumTyped /^>.*/ contains=illumCommand,illumVariable
syntax match illumCommand +^\(> \?\)\?/[^/ ]\+\( \|$\)\@=+
syntax match illumWord /^\s*\(case\|include\|let\|matrix\|mode\|model\|repeat\|rows\|set\|system\)\>/
syntax match illumExpect /^\s*expect\>/ nextgroup=illumTarget,illumKind skipwhite
syntax match illumKind /[a-z][a-z0-9-]*/ contained
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
highlight default link illumTarget Type
highlight default link illumKind Identifier
highlight default link illumString Constant
highlight default link illumVariable Special
highlight default link illumComparison Number

let b:current_syntax = "illum"
