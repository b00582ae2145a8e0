package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"example.com/latchkey"
	"example.com/latchkey/internal/strictjson"
)

// ReadJSON reads the body of a request into a struct with json tags. The body is one JSON object in
// UTF-8, with the content type application/json. Members that the struct does not have are ignored. A name
// that comes twice, a value of another type and anything after the object are refused, as half of a
// surrogate pair is: other decoders would turn two texts into one.
//
// Errors:
//   - [latchkey.ErrArgumentInvalid], with the argument body
//   - [*http.MaxBytesError]: see Config.MaxBody
func ReadJSON[T any](r *http.Request, into *T) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return errBody("The content type is not application/json")
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return unread(err, "It ends too early")
	}
	if strictjson.Unmarshal(text, into) != nil {
		return errBody("It is not a JSON object of the right form")
	}
	return nil
}

// unread returns the error for a body that could not be read.
func unread(err error, message string) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	return errBody(message)
}

// errBody refuses the body of a request.
func errBody(message string) error {
	e := *latchkey.ErrArgumentInvalid
	e.Argument, e.Reason, e.Message = "body", "malformed", message
	return &e
}

// WriteJSON answers with a value as JSON. It forbids to store the answer. An error means that the value
// has no JSON, and that nothing was written.
func WriteJSON(w http.ResponseWriter, status int, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client may have gone
	return nil
}

// JSON makes a function for [Site.Handle] of one that returns a value: the answer has the value as JSON,
// with status 200, or none with status 204 if the value is nil.
func JSON(fn func(w http.ResponseWriter, r *http.Request) (any, error)) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		value, err := fn(w, r)
		return answer(w, value, err)
	}
}

// AccountJSON is [JSON] for [Site.Require].
func AccountJSON(fn func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) (any, error)) func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
	return func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) error {
		value, err := fn(w, r, account)
		return answer(w, value, err)
	}
}

// answer answers with a value, unless there is an error.
func answer(w http.ResponseWriter, value any, err error) error {
	if err != nil {
		return err
	}
	if value == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return WriteJSON(w, http.StatusOK, value)
}
