package yamlfile

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// TextReader is a value that is written as one piece of text. ReadText should
// return a *Fault; it must not quote the text, because it may hold a secret.
type TextReader interface{ ReadText(text string) error }

// Defaulter is a block that sets its defaults before it is read.
type Defaulter interface{ Defaults() }

// Sensitive is a value that must never be shown.
type Sensitive interface{ Sensitive() }

// Decode reads the document into a struct. Keys are named by `yaml` tags;
// `jsonschema:"required"` demands a key, `jsonschema:"minimum=1,maximum=9"`
// bounds a whole number and `range:"1s..24h"` a Duration, all inclusive. Fields
// are strings, bools, ints, types that implement TextReader, and structs,
// slices, string maps and pointers of those. What is wrong is added to the
// problems of the file; what is right is stored all the same.
func (f *File) Decode(into any) {
	if d, ok := into.(Defaulter); ok {
		d.Defaults()
	}
	if f.root != nil {
		f.decode(f.root, reflect.ValueOf(into).Elem(), "", "")
	}
}

// decode reads one node. tag is the struct tag of the field it belongs to.
func (f *File) decode(node *yaml.Node, into reflect.Value, path string, tag reflect.StructTag) {
	if !f.plainNode(node, path) {
		return
	}
	if into.Kind() == reflect.Pointer {
		f.decodePointer(node, into, path, tag)
		return
	}
	if reader, ok := reflect.TypeAssert[TextReader](into.Addr()); ok && node.Kind == yaml.ScalarNode {
		f.readScalar(node, path, into, func(text string) error { return reader.ReadText(text) })
		f.inRange(into, path, tag)
		return
	}
	if _, text := reflect.TypeAssert[Formed](into.Addr()); text {
		f.wantKind(node, yaml.ScalarNode, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		f.decodeStruct(node, into, path)
	case reflect.Slice:
		f.decodeSlice(node, into, path)
	case reflect.Map:
		f.decodeMap(node, into, path)
	case reflect.String, reflect.Bool, reflect.Int:
		f.decodeScalar(node, into, path, tag)
	default:
		f.Report(path, "cannot be read into "+into.Type().String(), "report this as a bug")
	}
}

func (f *File) decodePointer(node *yaml.Node, into reflect.Value, path string, tag reflect.StructTag) {
	target := reflect.New(into.Type().Elem())
	if d, ok := reflect.TypeAssert[Defaulter](target); ok {
		d.Defaults()
	}
	before := len(f.problems)
	f.decode(node, target.Elem(), path, tag)
	// A value that could not be read counts as absent; a block keeps what was right in it.
	if len(f.problems) == before || node.Kind != yaml.ScalarNode {
		into.Set(target)
	}
}

// plainNode refuses the parts of YAML that make a file say something other
// than what it looks like.
func (f *File) plainNode(node *yaml.Node, path string) bool {
	switch {
	case node.Kind == yaml.AliasNode:
		f.Report(path, "aliases are not read", "write the value out")
	case node.Style&yaml.TaggedStyle != 0:
		f.Report(path, "has the type "+quote(node.Tag), "remove the type")
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		f.Report(path, "has no value", "write a value, or remove the key")
	default:
		return true
	}
	return false
}

// kinds are the words for what a node is.
var kinds = map[yaml.Kind]string{yaml.ScalarNode: "a single value", yaml.MappingNode: "a block of keys", yaml.SequenceNode: "a list"}

var kindFixes = map[yaml.Kind]string{
	yaml.ScalarNode: "write one value", yaml.MappingNode: "write keys with their values under it", yaml.SequenceNode: "write a list: [a, b]",
}

func (f *File) wantKind(node *yaml.Node, want yaml.Kind, path string) bool {
	if node.Kind == want {
		return true
	}
	message := fmt.Sprintf("must be %s, is %s", kinds[want], kinds[node.Kind])
	if path == "" {
		message = fmt.Sprintf("the file must hold %s, holds %s", kinds[want], kinds[node.Kind])
	}
	f.Report(path, message, kindFixes[want])
	return false
}

// fieldsOf are the YAML keys of a struct in the order of its fields.
func fieldsOf(t reflect.Type) (names []string, byName map[string]reflect.StructField) {
	byName = map[string]reflect.StructField{}
	for _, field := range reflect.VisibleFields(t) {
		name := field.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		names = append(names, name)
		byName[name] = field
	}
	return names, byName
}

func (f *File) decodeStruct(node *yaml.Node, into reflect.Value, path string) {
	if !f.wantKind(node, yaml.MappingNode, path) {
		return
	}
	names, byName := fieldsOf(into.Type())
	for _, e := range f.entries(node, path, names) {
		field, known := byName[e.name]
		if !known {
			f.unknown(e, path, names)
			continue
		}
		f.decode(e.value, into.FieldByIndex(field.Index), e.path, field.Tag)
	}
	for _, name := range names {
		required := slices.Contains(strings.Split(byName[name].Tag.Get("jsonschema"), ","), "required")
		if required && !f.Has(join(path, name)) {
			f.missing(path, name, byName[name].Type)
		}
	}
}

func (f *File) missing(path, name string, t reflect.Type) {
	value := "…"
	if e, ok := reflect.TypeAssert[Enum](reflect.Zero(t)); ok {
		value = oneOf(e.Options())
	}
	f.Report(path, name+" is missing", "add "+name+": "+value)
}

func (f *File) unknown(e entry, path string, names []string) {
	fix := "known here: " + strings.Join(names, ", ")
	if meant := Suggest(e.name, names); meant != "" {
		fix = "did you mean " + meant + "?"
	}
	if now := renamed[e.name]; slices.Contains(names, now) {
		fix = "renamed: write " + now
	}
	where := ""
	if path != "" {
		where = " in " + Problem{Path: path}.key()
	}
	f.add(Problem{
		Line: e.key.Line, Column: e.key.Column,
		Message: fmt.Sprintf("unknown key %s%s", quote(e.name), where), Fix: fix,
	})
}

func (f *File) decodeSlice(node *yaml.Node, into reflect.Value, path string) {
	if !f.wantKind(node, yaml.SequenceNode, path) {
		return
	}
	if len(node.Content) == 0 {
		f.Report(path, "the list is empty", "add at least one entry, or remove the key")
		return
	}
	items := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
	for i, child := range node.Content {
		item := items.Index(i)
		if d, ok := reflect.TypeAssert[Defaulter](item.Addr()); ok {
			d.Defaults()
		}
		childPath := fmt.Sprintf("%s[%d]", path, i)
		f.places[childPath] = place{value: child}
		f.decode(child, item, childPath, "")
	}
	into.Set(items)
}

func (f *File) decodeMap(node *yaml.Node, into reflect.Value, path string) {
	if !f.wantKind(node, yaml.MappingNode, path) {
		return
	}
	if len(node.Content) == 0 {
		f.Report(path, "is empty", "add at least one entry, or remove the key")
		return
	}
	items := reflect.MakeMap(into.Type())
	for _, e := range f.entries(node, path, nil) {
		item := reflect.New(into.Type().Elem()).Elem()
		before := len(f.problems)
		f.decode(e.value, item, e.path, "")
		if len(f.problems) == before {
			items.SetMapIndex(reflect.ValueOf(e.name).Convert(into.Type().Key()), item)
		}
	}
	into.Set(items)
}

var wholeNumber = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)

func (f *File) decodeScalar(node *yaml.Node, into reflect.Value, path string, tag reflect.StructTag) {
	if !f.wantKind(node, yaml.ScalarNode, path) {
		return
	}
	f.readScalar(node, path, into, func(text string) error {
		switch into.Kind() {
		case reflect.Bool:
			if text != "true" && text != "false" {
				return &Fault{"is not true or false", "write true or false"}
			}
			into.SetBool(text == "true")
		case reflect.Int:
			low, high := bounds(tag)
			n, err := strconv.Atoi(text)
			if !wholeNumber.MatchString(text) || err != nil || n < low || n > high {
				return &Fault{"is not a whole number that fits here", fmt.Sprintf("write a number from %d to %d", low, high)}
			}
			into.SetInt(int64(n))
		default:
			return readString(text, into)
		}
		return nil
	})
}

// readString reads free text and the words of a closed list.
func readString(text string, into reflect.Value) error {
	if text == "" {
		return &Fault{"is empty", "write a value, or remove the key"}
	}
	if e, ok := reflect.TypeAssert[Enum](into); ok && !slices.Contains(e.Options(), text) {
		if now := renamed[text]; slices.Contains(e.Options(), now) {
			return &Fault{"is not one of the words allowed here", "renamed: write " + now}
		}
		return &Fault{"is not one of the words allowed here", "write " + oneOf(e.Options())}
	}
	into.SetString(text)
	return nil
}

// bounds are the inclusive limits of a whole number.
func bounds(tag reflect.StructTag) (low, high int) {
	high = 1_000_000_000
	for part := range strings.SplitSeq(tag.Get("jsonschema"), ",") {
		key, value, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(value)
		switch {
		case err != nil:
		case key == "minimum":
			low = n
		case key == "maximum":
			high = n
		}
	}
	return low, high
}

// readScalar fills in variables, reads the text and reports what is wrong with
// it. Messages quote the text as the file has it, never what a variable held.
func (f *File) readScalar(node *yaml.Node, path string, into reflect.Value, read func(string) error) {
	quoted := quote(node.Value)
	if _, secret := reflect.TypeAssert[Sensitive](into.Addr()); secret {
		quoted = "the value"
	}
	text, fault := expand(node.Value, f.getenv)
	if fault != nil {
		f.Report(path, quoted+" "+fault.Is, fault.Fix)
		return
	}
	err := read(text)
	if err == nil {
		return
	}
	fault = faultOf(err)
	if text != node.Value { // the fault's words may come from the variable
		fault = &Fault{"holds a variable whose value cannot be used here", "check what the variable holds"}
	}
	f.Report(path, quoted+" "+fault.Is, fault.Fix)
}
