package dictionary

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryWordIsFoundInAnyCase(t *testing.T) {
	all := strings.Fields(words)
	if len(all) != 10_000 || !slices.IsSorted(all) {
		t.Fatalf("%d words, sorted: %v", len(all), slices.IsSorted(all))
	}
	long := 0
	for _, w := range all {
		if !Contains(w) || !Contains(strings.ToUpper(w)) || Contains(w+"\x00") || Contains("\n"+w) || Contains(w+"\n") {
			t.Errorf("%q", w)
		}
		if len(w) >= longest {
			t.Errorf("%q is longer than is looked for", w)
		}
		if len(w) >= 8 {
			long++
		}
	}
	if long < 3_000 {
		t.Errorf("only %d words are long enough to be set", long)
	}
}

func TestOtherWordsAreNotFound(t *testing.T) {
	for _, w := range []string{"", "correct horse", "correcthorse", "password\n123456", "passwordd", "zzzzzzzzzzzz", "\x00", "~~~~~~~", strings.Repeat("a", 1<<20), "p\xffssword", "pässword"} {
		if Contains(w) {
			t.Errorf("%q", w)
		}
	}
	if !Contains("Password") || !Contains("pa\u017fsword") { // the long s folds to s
		t.Error("a word in another case is not found")
	}
}

func TestLookingUpAllocatesNothing(t *testing.T) {
	for _, w := range []string{"password", "Correct Horse Battery", strings.Repeat("é", 200)} {
		if n := testing.AllocsPerRun(100, func() { Contains(w) }); n != 0 {
			t.Errorf("%q: %v allocations", w, n)
		}
	}
}

func FuzzContains(f *testing.F) {
	all := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		all[w] = true
	}
	f.Add("password")
	f.Add("a")
	f.Fuzz(func(t *testing.T, w string) {
		if lower := strings.ToLower(w); Contains(w) != all[lower] && !strings.ContainsAny(w, "\u212a\u017f\ufffd") {
			t.Errorf("%q", w)
		}
	})
}
