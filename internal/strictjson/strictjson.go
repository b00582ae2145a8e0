// Package strictjson reads JSON that decides something: the claims of a token, or a set
// of keys. Two readers that disagree about such a text would be a hole.
package strictjson

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads a JSON object into a struct, by its json tags. It ignores members that
// the struct does not have, and refuses:
//   - text that is not UTF-8, and half of a surrogate pair
//   - a name that comes twice in one object, at any depth
//   - a member of the object with the name of a field in another case
//   - another value than an object, and anything after it
func Unmarshal[T any](text []byte, into *T) error {
	start := bytes.TrimLeft(text, " \t\r\n")
	if len(start) > 0 && start[0] == '{' && json.Unmarshal(text, into, json.RejectUnknownMembers(true)) == nil {
		return nil // every name is that of a member
	}
	members := namesOf(reflect.TypeFor[T]())
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	if start, err := d.ReadToken(); err != nil || start.Kind() != jsontext.KindBeginObject {
		return errors.New("strictjson: not an object")
	}
	for d.PeekKind() == jsontext.KindString {
		name, err := d.ReadToken()
		if err == nil && recased(name.String(), members) {
			err = errors.New("strictjson: a name in another case")
		}
		if err == nil {
			err = d.SkipValue()
		}
		if err != nil {
			return err
		}
	}
	return json.Unmarshal(text, into)
}

// names has the names of the members of each struct that was read, so that reflection goes over it once.
var names sync.Map // of reflect.Type to []string

// namesOf returns the names of the members of a struct.
func namesOf(t reflect.Type) []string {
	if known, is := names.Load(t); is {
		return known.([]string)
	}
	var all []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, name)
	}
	names.Store(t, all)
	return all
}

// recased reports whether a name is that of a member in another case.
func recased(name string, members []string) bool {
	return slices.ContainsFunc(members, func(known string) bool { return name != known && strings.EqualFold(name, known) })
}
