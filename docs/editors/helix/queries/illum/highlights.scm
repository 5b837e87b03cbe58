(header) @keyword.directive
(comment) @comment
(typed) @string
(word) @keyword
["expect" "weight"] @keyword.control
(target) @type
(kind) @function
(string) @string.special
(operator) @operator
(number) @constant.numeric
(variable) @variable
