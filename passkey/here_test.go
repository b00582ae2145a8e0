package passkey

import "testing"

// The page is compared here, and once more by the library. This is the comparison of here alone, in which no setting and no
// version of the library has a part.
func TestOnlyAPageOfTheServiceIsHere(t *testing.T) {
	const page, app = "https://app.example.org", "android:apk-key-hash:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	p, err := New(Config{RPID: "example.org", Name: "Example", Origins: []string{page + ":443", app}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from clientData
		want bool
	}{
		{clientData{Origin: page}, true},
		{clientData{Origin: app}, true},
		{clientData{}, false},
		{clientData{Origin: page + ":443"}, false}, // browsers leave the default port out
		{clientData{Origin: page + "/"}, false},
		{clientData{Origin: "https://example.org"}, false},
		{clientData{Origin: "https://APP.example.org"}, false},
		{clientData{Origin: page, CrossOrigin: true}, false},
		{clientData{Origin: page, TopOrigin: page}, false},
	} {
		if got := p.here(c.from); got != c.want {
			t.Errorf("%+v: %v", c.from, got)
		}
	}
}
