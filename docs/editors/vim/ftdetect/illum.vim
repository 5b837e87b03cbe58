autocmd BufRead,BufNewFile *.illum setfiletype illum
