package transfer_test

import (
	"strings"
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/transfer"
)

// The form is that of core/field_password.go and core/external_auth_model.go of
// https://github.com/pocketbase/pocketbase. Grace's record is of before version 0.23.
func TestPocketBase(t *testing.T) {
	text := fixture(t, "pocketbase.json")
	for name, text := range map[string]string{
		"list":   text,
		"answer": `{"page":1,"perPage":30,"totalItems":2,"totalPages":1,"items":` + text + "}",
		"lines":  strings.ReplaceAll(strings.Trim(strings.ReplaceAll(text, "\n", ""), "[]"), "}, {", "}\n{"),
	} {
		t.Run(name, func(t *testing.T) {
			sameUsers(t, read(text, transfer.PocketBase, transfer.Options{}), []*latchkey.PortableUser{
				{
					ID: "adaadaadaada001", Email: "ada@example.org", EmailVerified: true, Name: "Ada Example",
					CreatedAt: at(t, "2022-06-25T11:03:50.052Z"), UpdatedAt: at(t, "2022-06-26T11:03:50.052Z"),
				},
				{
					ID: "gracegracegra02", Email: "grace@example.org",
					Identities: []latchkey.PortableIdentity{{
						Provider: "google", Issuer: googleIssuer, Subject: "100000000000000000002", CreatedAt: at(t, "2023-01-01T01:02:03.456Z"), UpdatedAt: at(t, "2023-01-02T01:02:03.456Z"),
					}},
				},
			}, "adaadaadaada001", "gracegracegra02")
		})
	}
}

func TestPocketBaseRefuses(t *testing.T) {
	record := func(members string) string { return `[{"id":"ada",` + members + `}]` }
	refuses(t, transfer.PocketBase, transfer.Options{}, []broken{
		{"empty", "", notBegun},
		{"CSV", "id,email\n", notBegun},
		{"cut", `[{"id":"a"},`, "line 1: its password: the file does not have its hash\n" + cutOff},
		{"no items", `{"page":1}`, "transfer: the file does not have this format: it has no member items"},
		{"no id", `[{}]`, "line 1: it has no id"},
		{"id", `[{},{"id":7}]`, "line 1: it has no id\nline 2: its member id has another form"},
		{"verified", record(`"verified":2`), "line 1: its member verified has another form"},
		{"verified as a text", record(`"verified":"true"`), "line 1: its member verified has another form"},
		{"created", record(`"created":"2022-06-25"`), "line 1: its member created has another form"},
		{"answer of the API", record(`"email":"ada@example.org","verified":true`), "line 1: its password: the file does not have its hash"},
		{"hash", record(`"password":"secret"`), "line 1: its password: not a password hash within the bounds: a bcrypt hash begins with $2a$, $2b$ or $2y$"},
		{"provider", record(`"externalAuths":[{"provider":"github","providerId":"7"}]`), "line 1: the provider github is not in Options.Providers"},
	})
	sameUsers(t, read(record(`"verified":true,"email":"ada@example.org"`), transfer.PocketBase, transfer.Options{WithoutPassword: true}),
		[]*latchkey.PortableUser{{ID: "ada", Email: "ada@example.org", EmailVerified: true}})
}

func FuzzPocketBase(f *testing.F) {
	fuzz(f, transfer.PocketBase, transfer.Options{}, "pocketbase.json")
}
