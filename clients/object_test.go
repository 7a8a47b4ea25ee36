package clients

import (
	"strings"
	"testing"
	"time"
)

func TestParseObject(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"an object", `{"a":1}`, ""},
		{"an empty object", `{}`, ""},
		{"a list", `[1]`, "not a JSON object"},
		{"null", `null`, "not a JSON object"},
		{"nothing", ``, "not JSON"},
		{"a cut object", `{"a":1`, "not JSON"},
		{"something behind it", `{"a":1}{"a":2}`, "not JSON"},
		{"HTML", `<html>`, "not JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseObject([]byte(tt.in))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseObject(%s) = %v, want %q", tt.in, err, tt.want)
			}
		})
	}
}

func TestObjectNumber(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a whole number", `{"n":12}`, "12"},
		{"a debt", `{"n":-5}`, "-5"},
		{"a long fraction is exact", `{"n":0.1234567890123456789}`, "0.1234567890123456789"},
		{"an exponent is left to the reader", `{"n":1e30}`, "1e30"},
		{"absent", `{}`, "error:n is missing"},
		{"null", `{"n":null}`, "error:n is null"},
		{"text", `{"n":"12"}`, "error:n is not a number"},
		{"a boolean", `{"n":true}`, "error:n is not a number"},
		{"an object", `{"n":{}}`, "error:n is not a number"},
		{"twice", `{"n":1,"n":2}`, "error:n is there twice"},
		{"twice, once escaped", `{"n":1,"\u006e":2}`, "error:n is there twice"},
		{"another spelling is another key", `{"N":1}`, "error:n is missing"},
		{"another spelling does not shadow it", `{"n":1,"N":2}`, "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := ParseObject([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := o.Number("n")
			if want, isErr := strings.CutPrefix(tt.want, "error:"); isErr {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("Number = %q, %v; want an error with %q", got, err, want)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("Number = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestObjectValues(t *testing.T) {
	o, err := ParseObject([]byte(`{"id":"cus_1","space":"a b","bell":"a\u0007","long":"` + strings.Repeat("x", 129) + `",
		"at":"2025-11-23T09:00:01.860+01:00","day":"2025-11-23","yes":true,"null":null,"text":"12.50","sub":{"a":"b"},"list":[1,2]}`))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"id": "cus_1", "space": "", "bell": "", "long": "", "null": "", "yes": "", "absent": ""} {
		if got := o.ID(key); got != want {
			t.Errorf("ID(%s) = %q, want %q", key, got, want)
		}
	}
	if got, want := o.Time("at"), time.Date(2025, 11, 23, 8, 0, 1, 860e6, time.UTC); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("Time = %v, want %v", got, want)
	}
	if got := o.Time("day"); !got.IsZero() {
		t.Errorf("Time of a date = %v, want zero", got)
	}
	if v, ok := o.Bool("yes"); !v || !ok {
		t.Errorf("Bool(yes) = %v, %v", v, ok)
	}
	if _, ok := o.Bool("id"); ok {
		t.Error("a text was read as a boolean")
	}
	if got, err := o.NumberText("text"); err != nil || got != "12.50" {
		t.Errorf("NumberText = %q, %v", got, err)
	}
	if sub, ok := o.Object("sub"); !ok || sub.Text("a") != "b" {
		t.Errorf("Object = %v, %v", sub, ok)
	}
	if list, ok := o.List("list"); !ok || len(list) != 2 {
		t.Errorf("List = %v, %v", list, ok)
	}
	if o.Has("null") || !o.Present("null") || o.Present("absent") {
		t.Error("null is present but is no value, absent is neither")
	}
}
