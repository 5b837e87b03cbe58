(header) @keyword.directive
(comment) @comment
(typed) @string
["expect" "weight"] @keyword.control
(target) @type
(string) @string.special
(operator) @operator
(number) @constant.numeric
(variable) @variable

((word) @keyword
  (#any-of? @keyword
    "answers"
    "backend"
    "case"
    "device"
    "include"
    "let"
    "matrix"
    "mode"
    "model"
    "repeat"
    "rows"
    "set"
    "system"
    "threads"
    "threshold"
  ))

((kind) @function
  (#any-of? @function
    "equals" "not-equals"
    "contains" "not-contains"
    "contains-any" "not-contains-any"
    "contains-all" "not-contains-all"
    "icontains" "not-icontains"
    "icontains-any" "not-icontains-any"
    "icontains-all" "not-icontains-all"
    "regex" "not-regex"
    "starts-with" "not-starts-with"
    "ends-with" "not-ends-with"
    "one-of" "not-one-of"
    "is-json" "not-is-json"
    "json-schema" "not-json-schema"
    "language" "not-language"
    "same-as" "not-same-as"
    "golden" "not-golden"
    "contains-json" "not-contains-json"
    "longer-than" "not-longer-than"
    "words" "not-words"
    "sentences" "not-sentences"
    "characters" "not-characters"
    "levenshtein" "not-levenshtein"
    "bleu" "not-bleu"
    "rouge-1" "not-rouge-1"
    "rouge-2" "not-rouge-2"
    "rouge-l" "not-rouge-l"
    "repetition" "not-repetition"
    "distinct-1" "not-distinct-1"
    "distinct-2" "not-distinct-2"
    "distinct-3" "not-distinct-3"
    "similar" "not-similar"
    "similar-to" "not-similar-to"
    "overlap-with" "not-overlap-with"
    "perplexity" "not-perplexity"
    "self-bleu" "not-self-bleu"
    "tokens" "not-tokens"
    "finish" "not-finish"
    "latency" "not-latency"
    "tokens-per-second" "not-tokens-per-second"
    "refused" "not-refused"
    "pictures" "not-pictures"
    "picture-size" "not-picture-size"
    "picture-hash" "not-picture-hash"
    "picture-style" "not-picture-style"
    "picture-shows" "not-picture-shows"
    "cost" "not-cost"
    "promptfoo-equals" "not-promptfoo-equals"
    "promptfoo-starts-with" "not-promptfoo-starts-with"
    "promptfoo-contains-html" "not-promptfoo-contains-html"
    "promptfoo-is-refusal" "not-promptfoo-is-refusal"
    "promptfoo-word-count" "not-promptfoo-word-count"
    "promptfoo-levenshtein" "not-promptfoo-levenshtein"
    "promptfoo-rouge-n" "not-promptfoo-rouge-n"
    "promptfoo-bleu" "not-promptfoo-bleu"
    "promptfoo-gleu" "not-promptfoo-gleu"
  ))
