package jsontext

import "testing"

func TestNumbersFitAFloat(t *testing.T) {
	for text, want := range map[string]bool{
		`[1,-0,0.0,1e308,"1e999",{"1e999":-2.5E-300}]`: true, `{"a":"\\\"","b":3}`: true, `0`: true, `[0e5]`: true,
		`1e309`: false, `[1,2,-1e400]`: false, `{"a":[1e-20000]}`: false, `{"\\":1e999}`: false, `["a\\",1e999]`: false,
	} {
		if err := Numbers(text); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestEscapesStandForText(t *testing.T) {
	for text, want := range map[string]bool{
		`["\ud83d\ude00","\\u0000"]`: true, `["\u0000"]`: false, `["\\\u0000"]`: false, `["\ud83d"]`: false, `["\ude00\ud83d"]`: false, `["\ud83dx"]`: false,
	} {
		if err := Escapes(text); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}
