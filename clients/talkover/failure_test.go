package talkover

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryDocumentedErrorShapeIsKnown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		shape  string
		status int
		want   failure
	}{
		{"a", 402, failure{Code: "PAYMENT_FAILED", Message: "Payment method declined", DeclineReason: "insufficient_funds"}},
		{"b", 401, failure{Code: "INVALID_API_KEY", Message: "The provided API key is invalid"}},
		{"c", 429, failure{Code: "RATE_LIMIT_EXCEEDED", Message: "Too many requests"}},
		{"d", 401, failure{Code: "UNAUTHORIZED", Message: "Invalid token"}},
		{"e", 401, failure{Message: "Missing Bearer Token"}},
		{"f", 401, failure{Message: "Unauthenticated."}},
		{"g", 422, failure{Message: "The given data was invalid.", Fields: "amount: The amount must be greater than 0."}},
		{"h", 500, failure{Message: "Internal server error."}},
	} {
		t.Run(tt.shape, func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(filepath.Join("testdata", "error_"+tt.shape+".json"))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := parseFailure(tt.status, body)
			if diff := cmp.Diff(tt.want, got); diff != "" || !ok {
				t.Errorf("parseFailure() = %v (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestWhatIsNoErrorOfTalkover(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"nothing":                   ``,
		"a page of HTML":            `<html>`,
		"a text":                    `"Unauthenticated."`,
		"a list":                    `[{"message":"no"}]`,
		"an empty object":           `{}`,
		"a code alone":              `{"success":false,"code":"PAYMENT_FAILED"}`,
		"an error without a word":   `{"error":{}}`,
		"an error that is a number": `{"error":402,"message":"no"}`,
		"an error that is null":     `{"error":null,"message":"no"}`,
		"an error that is empty":    `{"error":"","message":"no"}`,
		"a code without a message":  `{"error":"UNAUTHORIZED"}`,
		"a message that is none":    `{"success":false,"message":["no"]}`,
		"success":                   `{"success":true,"message":"no"}`,
		"success as null":           `{"success":null,"message":"no"}`,
		"success twice":             `{"success":false,"success":false,"message":"no"}`,
		"another status":            `{"error":"UNAUTHORIZED","message":"no","status_code":402}`,
		"a status as a text":        `{"error":"UNAUTHORIZED","message":"no","status_code":"401"}`,
		"data":                      `{"success":false,"message":"no","data":{"new_balance":1}}`,
		"data twice":                `{"success":false,"message":"no","data":null,"data":null}`,
		"cut off":                   `{"success":false,"message":"no"`,
		"followed by more":          `{"success":false,"message":"no"} {}`,
	} {
		if f, ok := parseFailure(401, []byte(body)); ok {
			t.Errorf("%s is taken for %+v", name, f)
		}
	}
}
