package clients

import (
	"encoding/json"
	"testing"
)

func TestFieldErrors(t *testing.T) {
	for raw, want := range map[string]string{
		``:                                "",
		`null`:                            "",
		`[]`:                              "",
		`"no"`:                            "",
		`{}`:                              "",
		`{"b":["two","three"],"a":"one"}`: "a: one; b: two three",
		`{"a":7,"b":[7],"c":{"d":"e"},"f":["it is not"]}`: "f: it is not",
	} {
		if got := FieldErrors(json.RawMessage(raw)); got != want {
			t.Errorf("FieldErrors(%s) = %q, want %q", raw, got, want)
		}
	}
}
