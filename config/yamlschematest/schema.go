// Package yamlschematest writes the JSON Schema that lets an editor check and
// complete a configuration file while it is written, and checks in tests that
// files fit it.
//
// The schema is made from the very types that read the file, so it cannot
// promise a key that the program refuses. It must never be stricter than the
// reader. Only tests make it: the library that does is not part of the program.
package yamlschematest

import (
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"

	"topupd/config/yamlfile"
)

// Of returns the JSON Schema of the file that is read into root, indented, with
// a line feed at the end.
func Of(root any, title string) []byte {
	schema := reflector().Reflect(root)
	schema.Title = title
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil { // cannot happen: a schema is made of strings, numbers and maps
		return []byte("{}\n")
	}
	return append(text, '\n')
}

// Schema is a part of a JSON Schema.
type Schema = jsonschema.Schema

// Text is the schema of a value that is written as text.
func Text(form yamlfile.Form) *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string", Pattern: form.Pattern}
	for _, e := range form.Examples {
		text.Examples = append(text.Examples, e)
	}
	if !form.Number {
		return text
	}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "number"}}}
}

// OrText extends the schema of a block or list that may also be written as text.
func OrText(schema *jsonschema.Schema, form yamlfile.Form) {
	block := *schema
	*schema = jsonschema.Schema{OneOf: []*jsonschema.Schema{Text(form), &block}}
}

func reflector() *jsonschema.Reflector {
	r := &jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true,
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true,
	}
	r.Mapper = func(t reflect.Type) *jsonschema.Schema {
		switch v := reflect.New(t).Interface().(type) {
		case yamlfile.Enum:
			s := &jsonschema.Schema{Type: "string"}
			for _, word := range v.Options() {
				s.Enum = append(s.Enum, word)
			}
			return s
		case yamlfile.Formed:
			return Text(v.Form())
		}
		if t.Kind() == reflect.Map {
			return &jsonschema.Schema{Type: "object", AdditionalProperties: value(r, t.Elem()), MinProperties: one()}
		}
		return nil
	}
	return r
}

// value is what may stand after a free key: text needs no quotes there, even
// if it looks like a number.
func value(r *jsonschema.Reflector, t reflect.Type) *jsonschema.Schema {
	if t == reflect.TypeFor[string]() {
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	}
	schema := r.ReflectFromType(t)
	schema.Version = "" // belongs to the whole schema
	return schema
}

func one() *uint64 {
	n := uint64(1)
	return &n
}
