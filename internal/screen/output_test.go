package screen

import (
	"strings"
	"testing"
)

// A spreadsheet must show what a customer is called, not run it.
func TestCSVRunsNothingInASpreadsheet(t *testing.T) {
	t.Parallel()
	type record struct {
		Name    string  `json:"name"`
		Balance *string `json:"balance"`
		Open    bool    `json:"open"`
	}
	for given, want := range map[string]string{
		`=HYPERLINK("http://x","Acme")`: `"'=HYPERLINK(""http://x"",""Acme"")"`,
		"+1+cmd":                        "'+1+cmd",
		"-2+3":                          "'-2+3",
		"@SUM(A1)":                      "'@SUM(A1)",
		"\t=1":                          "'\t=1",
		"\r=1":                          "\"'\r=1\"",
		"-12.5":                         "-12.5",
		"+4930123":                      "+4930123",
		"Ärzte = Söhne":                 "Ärzte = Söhne",
		"":                              "",
	} {
		var out strings.Builder
		if err := writeCSV(&out, []record{{given, new("-0.25"), true}}); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != "name,balance,open\n"+want+",-0.25,true\n" {
			t.Errorf("writeCSV(%q) = %q, want the cell %q", given, got, want)
		}
	}
}
