package yamlfile

import (
	"fmt"
	"regexp"
	"strings"
)

// variable is a value that is nothing but one environment variable.
var variable = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

// maxExpanded bounds a value after its variables were filled in, in bytes.
const maxExpanded = 64 << 10

// expand fills in ${NAME}. "$${" writes a "${" that is not a variable. A
// variable that is not set, or empty, is a fault that names it: an empty token
// or amount is never meant.
func expand(text string, getenv func(string) string) (string, *Fault) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if strings.HasSuffix(before, "$") {
			out.WriteString(before + "{")
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !variable.MatchString("${"+name+"}") {
			return "", &Fault{"has a ${ that is not ${NAME}", "write ${NAME}, or $${ for the characters ${"}
		}
		value := getenv(name)
		if value == "" {
			return "", &Fault{
				fmt.Sprintf("needs the environment variable %s, which is not set", name),
				"set " + name + " for the process, or write $${ for the characters ${",
			}
		}
		out.WriteString(before + value)
		if out.Len() > maxExpanded {
			return "", &Fault{fmt.Sprintf("is longer than %d bytes with %s filled in", maxExpanded, name), "check what " + name + " holds"}
		}
		text = after
	}
}
