package strictjson

import (
	"encoding/json"
	"testing"
)

type inner struct {
	Issuer string `json:"iss,omitempty"`
}

type claims struct {
	inner
	User string           `json:"sub"`
	Keys []map[string]any `json:"keys"`
}

func TestH26OneReadingOfJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"sub":"ada"}`: "ada", ` {"iss":"x","sub" : "ada","other":{"a":[1]}} ` + "\n": "ada", `{}`: "", `{"sub":null}`: "",
		`{"sub":"\ud83d\ude00"}`: "\U0001F600", `{"s\u0075b":"ada"}`: "ada", `{"other":1,"OTHER":2,"Other":3}`: "", `{"sub":"\u0000\\\""}`: "\x00\\\"",
		`{"sub":"` + "\uFFFD" + `"}`: "\uFFFD",
	} {
		var c claims
		if err := Unmarshal([]byte(text), &c); err != nil || c.User != want {
			t.Errorf("%s: %q, %v", text, c.User, err)
		}
	}
	for name, text := range map[string]string{
		"twice": `{"sub":"ada","sub":"bob"}`, "twice and equal": `{"sub":"ada","sub":"ada"}`, "twice by an escape": `{"sub":"ada","s\u0075b":"bob"}`,
		"an unknown one twice": `{"sub":"ada","x":1,"x":1}`, "twice below": `{"sub":"ada","keys":[{"x":1,"x":2}]}`, "twice below an unknown one": `{"sub":"ada","x":[{"y":1,"y":2}]}`,
		"another case": `{"SUB":"ada"}`, "both cases": `{"sub":"ada","Sub":"bob"}`, "another case of an embedded one": `{"Iss":"x"}`, "a letter that folds": `{"` + "\u017F" + `ub":"ada"}`,
		"another case by an escape": `{"\u0053ub":"ada"}`,
		"a byte":                    "{\"sub\":\"a\xff\"}", "a byte in a name": "{\"\xff\":1}", "an overlong byte": "{\"sub\":\"\xc0\xaf\"}", "a surrogate in bytes": "{\"sub\":\"\xed\xa0\x80\"}",
		"a byte in an unknown one": "{\"x\":[\"\xff\"]}", "a surrogate": `{"sub":"\ud800"}`, "a surrogate in a name": `{"\udfff":1}`, "a surrogate and no other": `{"sub":"\ud800\u0041"}`,
		"a surrogate in an unknown one": `{"x":{"y":"\udc00\ud800"}}`,
		"nothing":                       "", "null": "null", "a list": `[{"sub":"ada"}]`, "a text": `"sub"`, "more": `{"sub":"ada"}{}`, "a comma": `{"sub":"ada",}`, "a mark of order": "\uFEFF{}", "NUL": "{}\x00",
		"another kind": `{"sub":1}`,
	} {
		c := claims{User: "before"}
		if err := Unmarshal([]byte(text), &c); err == nil {
			t.Errorf("%s: %q", name, c.User)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"iss":"x","sub":"a","keys":[{"x":1}]}`))
	f.Add([]byte(`{"sub":"a","Sub":"b","sub":"c"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var strict, plain claims
		if Unmarshal(text, &strict) != nil {
			return
		}
		if err := json.Unmarshal(text, &plain); err != nil || plain.User != strict.User || plain.Issuer != strict.Issuer {
			t.Errorf("%q is %+v and %+v, %v", text, strict, plain, err)
		}
	})
}
