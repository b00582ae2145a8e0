package web

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"example.com/latchkey/oauth"
)

// ErrMember is the failure of an answer in which a member has another type than it should have.
const ErrMember oauth.Failure = "the profile has a member of another type"

// Fields is a JSON object of a service. Names are exact. A path is names of members with a period
// between those that lie in one another; a number counts in a list, from 0.
type Fields json.RawMessage

// Read returns the object of an answer. It refuses what Decode refuses. A list becomes the member
// list of an object.
func Read(body []byte) (Fields, error) {
	var whole struct{}
	if body = bytes.TrimSpace(body); bytes.HasPrefix(body, []byte("[")) {
		body = slices.Concat([]byte(`{"list":`), body, []byte("}"))
	}
	if err := Decode(body, &whole); err != nil {
		return nil, err
	}
	return Fields(body), nil
}

// At returns the value at a path: nil without one, and for null.
func (f Fields) At(path string) (json.RawMessage, error) {
	if path == "" {
		return nil, nil
	}
	body := json.RawMessage(f)
	for _, name := range strings.Split(path, ".") {
		if body == nil {
			return nil, nil
		}
		if n, err := strconv.ParseUint(name, 10, 16); err == nil && strings.HasPrefix(string(body), "[") {
			var list []json.RawMessage
			if json.Unmarshal(body, &list) != nil {
				return nil, ErrMember
			}
			if body = nil; n < uint64(len(list)) {
				body = list[n]
			}
			continue
		}
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			return nil, ErrMember
		}
		body = object[name]
	}
	if string(body) == "null" {
		return nil, nil
	}
	return body, nil
}

// Text returns the text at a path, "" without one.
func (f Fields) Text(path string) (text string, err error) {
	value, err := f.At(path)
	if err != nil || value == nil {
		return "", err
	}
	if json.Unmarshal(value, &text) != nil {
		return "", ErrMember
	}
	return text, nil
}

// Subject returns the text at a path, or the whole number as it is written. Without one, and for a
// blank one, it fails with [oauth.ErrSubject].
func (f Fields) Subject(path string) (subject string, err error) {
	value, err := f.At(path)
	if err != nil {
		return "", err
	}
	if value == nil {
		return "", oauth.ErrSubject
	}
	if json.Unmarshal(value, &subject) != nil {
		n, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil {
			return "", ErrMember
		}
		subject = strconv.FormatUint(n, 10)
	}
	if strings.TrimSpace(subject) == "" {
		return "", oauth.ErrSubject
	}
	return subject, nil
}

// Is reports whether the value at a path is one of some texts of JSON, for example true.
func (f Fields) Is(path string, one ...string) bool {
	value, err := f.At(path)
	for _, text := range one {
		if err == nil && string(value) == text {
			return true
		}
	}
	return false
}

// List returns the objects of the list at a path, nil without one.
func (f Fields) List(path string) (list []Fields, err error) {
	value, err := f.At(path)
	if err != nil || value == nil {
		return nil, err
	}
	var raw []json.RawMessage
	if json.Unmarshal(value, &raw) != nil {
		return nil, ErrMember
	}
	for _, one := range raw {
		if !strings.HasPrefix(string(one), "{") {
			return nil, ErrMember
		}
		list = append(list, Fields(one))
	}
	return list, nil
}

// Name returns the first name that is not empty. One is a path, or several with a plus between
// them, whose texts are joined with a space.
func (f Fields) Name(names ...string) (string, error) {
	for _, name := range names {
		var parts []string
		for _, path := range strings.Split(name, "+") {
			part, err := f.Text(path)
			if err != nil {
				return "", err
			}
			if part = strings.TrimSpace(part); part != "" {
				parts = append(parts, part)
			}
		}
		if len(parts) > 0 {
			return strings.Join(parts, " "), nil
		}
	}
	return "", nil
}
