package permission_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "example.com/latchkey/permission"
)

func set(t testing.TB, texts ...string) Set {
	t.Helper()
	s, err := Parse(texts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPermissionsHaveTheDocumentedTexts(t *testing.T) {
	for want, p := range map[string]Permission{
		`read("any")`:                    Read.To(Any),
		`create("guests")`:               Create.To(Guests),
		`update("users")`:                Update.To(Users),
		`delete("users/verified")`:       Delete.To(UsersVerified),
		`write("users/unverified")`:      Write.To(UsersUnverified),
		`read("user:123")`:               Read.To(User("123")),
		`delete("user:123/verified")`:    Delete.To(UserVerified("123")),
		`read("user:1/unverified")`:      Read.To(UserUnverified("1")),
		`read("team:abc")`:               Read.To(Team("abc")),
		`update("team:abc/owner")`:       Update.To(TeamRole("abc", "owner")),
		`read("member:m.1_2-3")`:         Read.To(Member("m.1_2-3")),
		`create("label:vip")`:            Create.To(Label("vip")),
		`read("user:verified")`:          Read.To(User("verified")),
		`read("team:any/unverified")`:    Read.To(TeamRole("any", "unverified")),
		`read("team:t/` + long + `")`:    Read.To(TeamRole("t", long)),
		`read("team:` + long[:36] + `")`: Read.To(Team(long[:36])),
	} {
		if got := p.String(); got != want {
			t.Errorf("printed %s, want %s", got, want)
		}
		if got, err := ParsePermission(want); got != p || err != nil {
			t.Errorf("%s: parsed %v, %v", want, got, err)
		}
	}
}

var long = strings.Repeat("r", 81)

func TestOtherTextsAreRefused(t *testing.T) {
	for text, want := range map[string]error{
		"": ErrForm, "read": ErrForm, "read()": ErrForm, `read(any)`: ErrForm, `read('any')`: ErrForm, `read("any"`: ErrForm,
		`read("any") `: ErrForm, `read ("any")`: ErrAction, ` read("any")`: ErrAction, `READ("any")`: ErrAction, `("any")`: ErrAction,
		`admin("any")`: ErrAction, `read("")`: ErrRole, `read("Any")`: ErrRole, `read("any ")`: ErrRole, `read(" any")`: ErrRole,
		`read("any/verified")`: ErrRole, `read("any:1")`: ErrRole, `read("guests/verified")`: ErrRole, `read("users/owner")`: ErrRole,
		`read("users:")`: ErrRole, `read("users/")`: ErrRole, `read("user")`: ErrRole, `read("user:")`: ErrRole, `read("user:a/")`: ErrRole,
		`read("user:a/owner")`: ErrRole, `read("user:a b")`: ErrRole, `read("user:_a")`: ErrRole, `read("user:a/verified/verified")`: ErrRole,
		`read("team:")`: ErrRole, `read("team:/owner")`: ErrRole, `read("team:a/")`: ErrRole, `read("team:a/owner,admin")`: ErrRole,
		`read("team:a/owner ")`: ErrRole, `read("team:a/b/c")`: ErrRole, `read("team:a/` + long + `r")`: ErrRole,
		`read("team:` + long[:37] + `")`: ErrRole, `read("member:a/owner")`: ErrRole, `read("member:")`: ErrRole, `read("label:")`: ErrRole,
		`read("label:a-b")`: ErrRole, `read("label:a/b")`: ErrRole, `read("label:ä")`: ErrRole, `read("team:ä")`: ErrRole,
		`read("owner")`: ErrRole, `read("keys")`: ErrRole, `read("any"),read("any")`: ErrRole, `read("team:a\u0000")`: ErrRole, "read(\"any\")\n": ErrForm,
	} {
		if p, err := ParsePermission(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, %v; want %v", text, p, err, want)
		}
		s, err := Parse(`read("any")`, text)
		if !errors.Is(err, want) || len(s.Strings()) > 0 {
			t.Errorf("%q in a set: %v, %v; want %v", text, s, err, want)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats %q", text)
		}
	}
	if _, err := NewSet(Action("").To(Any)); !errors.Is(err, ErrAction) {
		t.Errorf("no action: %v", err)
	}
	if _, err := NewSet(Read.To("admin")); !errors.Is(err, ErrRole) {
		t.Errorf("no role: %v", err)
	}
}

func TestASetIsSortedAndHasEachPermissionOnce(t *testing.T) {
	s := set(t, `write("team:a/owner")`, `read("users")`, `read("any")`, `read("users")`, `update("team:a/owner")`)
	want := []string{`create("team:a/owner")`, `delete("team:a/owner")`, `read("any")`, `read("users")`, `update("team:a/owner")`}
	if got := s.Strings(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := s.Roles(Read); !slices.Equal(got, []string{"any", "users"}) {
		t.Errorf("roles that read: %q", got)
	}
	if got := s.Roles(Write); got != nil {
		t.Errorf("roles that write: %q", got)
	}
	if got := set(t, s.Strings()...).Strings(); !slices.Equal(got, want) {
		t.Errorf("read again: %q", got)
	}
}

func TestASetHasAtMostAThousandPermissions(t *testing.T) {
	var all []Permission
	for i := range 1000 {
		all = append(all, Read.To(User(fmt.Sprint(i))))
	}
	if _, err := NewSet(append(all, all...)...); err != nil {
		t.Errorf("1,000 twice: %v", err)
	}
	for _, one := range []Permission{Read.To(Any), Write.To(Any)} {
		if _, err := NewSet(append(all[:999:999], one, Read.To(Users))...); !errors.Is(err, ErrTooMany) {
			t.Errorf("%v beside them: %v", one, err)
		}
	}
}

// Roles are names (AC-100): no part, no prefix, no list of them stands for another.
func TestAC100RolesAreComparedAsExactNames(t *testing.T) {
	s := set(t, `read("team:a/owner")`)
	for _, role := range []Role{"team:a/Owner", "team:a/owner ", "team:a/owne", "team:a/owners", "team:a/owner,admin", "team:a", "team:A/owner", "team:b/owner", "owner", "", "*"} {
		if s.Allows(Read, RolesOf(role)) {
			t.Errorf("%q stands for team:a/owner", role)
		}
	}
	if !s.Allows(Read, RolesOf("team:a", "team:a/owner")) {
		t.Error("an owner may not read")
	}
	if s.Allows(Read, Roles{}) || set(t, `read("any")`).Allows(Read, Roles{}) || (Set{}).Allows(Read, RolesOf()) {
		t.Error("the zero value allows")
	}
	var many []Role
	for i := range 10_000 {
		many = append(many, TeamRole("a", fmt.Sprint("r", i)))
	}
	if roles := RolesOf(many...); s.Allows(Read, roles) || !roles.Has("team:a/r9999") || roles.Has("team:a/owner") {
		t.Error("10,000 roles are not a set")
	}
}

func TestSetsAndRolesAreEqualInAnyOrder(t *testing.T) {
	if !set(t, `read("any")`, `write("users")`).Equal(set(t, `delete("users")`, `update("users")`, `create("users")`, `read("any")`)) {
		t.Error("equal sets differ")
	}
	if set(t, `read("any")`).Equal(set(t, `read("users")`)) || (Set{}).Equal(set(t, `read("any")`)) {
		t.Error("other sets are equal")
	}
	if !RolesOf(Users, User("a")).Equal(RolesOf(User("a"), Any, Users)) || RolesOf(Users).Equal(RolesOf(Guests)) || RolesOf().Equal(Roles{}) {
		t.Error("roles are not compared as sets")
	}
}

func TestEveryCallerHasTheRoleAny(t *testing.T) {
	roles := RolesOf(Users, Any, User("b"))
	if got := roles.List(); !slices.Equal(got, []string{"any", "users", "user:b"}) {
		t.Errorf("list: %q", got)
	}
	roles.List()[0] = "guests"
	if roles.Has(Guests) || roles.String() != "any users user:b" {
		t.Error("the list can be changed from outside")
	}
	for _, s := range []Set{set(t, `read("any")`), set(t, `read("user:b")`), set(t, `read("users")`)} {
		if !s.Allows(Read, roles) || s.Allows(Update, roles) {
			t.Errorf("%q", s.Strings())
		}
	}
}

// Allows agrees with the definition, for random sets.
func TestAllowsIsTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pool := []Role{Any, Guests, Users, UsersVerified, User("a"), UserVerified("a"), Team("a"), TeamRole("a", "owner"), TeamRole("a", "o"), Member("a"), Label("a")}
	actions := []Action{Read, Create, Update, Delete}
	for range 20_000 {
		var permissions []Permission
		for range r.IntN(6) {
			permissions = append(permissions, append(actions, Write)[r.IntN(5)].To(pool[r.IntN(len(pool))]))
		}
		held := []Role{Any}
		for range r.IntN(5) {
			held = append(held, pool[r.IntN(len(pool))])
		}
		s, err := NewSet(permissions...)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range actions {
			want := slices.ContainsFunc(permissions, func(p Permission) bool {
				return (p.Action == a || p.Action == Write && a != Read) && slices.Contains(held, p.Role)
			})
			if got := s.Allows(a, RolesOf(held...)); got != want {
				t.Fatalf("%s with %v and %v: %v", a, permissions, held, got)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{`read("any")`, `write("team:x/editor")`, `delete("user:1/verified")`, `create("label:vip")`, `read("")`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePermission(text)
		if err != nil {
			return
		}
		if p.String() != text {
			t.Errorf("%q became %q", text, p)
		}
		s, err := Parse(text)
		if err != nil || !slices.ContainsFunc([]Action{Read, Create, Update, Delete}, func(a Action) bool { return s.Allows(a, RolesOf(p.Role)) }) {
			t.Errorf("%q lets nobody do anything: %v", text, err)
		}
	})
}

// worst has 100 permissions and 50 roles, of which none meet.
func worst(t testing.TB) (Set, Roles) {
	var permissions []Permission
	var roles []Role
	for i := range 100 {
		permissions = append(permissions, Read.To(TeamRole(fmt.Sprintf("01234567-89ab-cdef-0123-%012d", i), "editor")))
	}
	for i := range 50 {
		roles = append(roles, TeamRole(fmt.Sprintf("01234567-89ab-cdef-0123-%012d", 2*i), "owner"))
	}
	s, err := NewSet(permissions...)
	if err != nil {
		t.Fatal(err)
	}
	return s, RolesOf(roles...)
}

func TestADecisionAllocatesNothing(t *testing.T) {
	s, roles := worst(t)
	if n := testing.AllocsPerRun(100, func() { s.Allows(Read, roles) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The limit is one pass over the permissions with a look into a set of the roles.
func BenchmarkAllows(b *testing.B) {
	s, roles := worst(b)
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			if s.Allows(Read, roles) {
				b.Fatal("allowed")
			}
		}
	})
	held := map[string]bool{}
	for _, role := range roles.List() {
		held[role] = true
	}
	wanted := s.Roles(Read)
	b.Run("limit", func(b *testing.B) {
		for b.Loop() {
			for _, role := range wanted {
				if held[role] {
					b.Fatal("allowed")
				}
			}
		}
	})
}

func Example() {
	note, err := Parse(`read("any")`, `write("team:editors/owner")`)
	if err != nil {
		fmt.Println(err)
	}
	owner := RolesOf(User("ada"), Users, Team("editors"), TeamRole("editors", "owner"))
	fmt.Println(note.Allows(Read, RolesOf(Guests)), note.Allows(Update, RolesOf(Guests)), note.Allows(Update, owner))
	fmt.Println(note.Roles(Update))
	// Output:
	// true false true
	// [team:editors/owner]
}

// Roles come back from their JSON as they were, and a text that is no role is refused.
func TestRolesInJSON(t *testing.T) {
	for want, roles := range map[string]Roles{
		`[]`:                       {},
		`["any"]`:                  RolesOf(),
		`["any","users","guests"]`: RolesOf("users", "guests"),
		`["any","team:x/owner","label:staff","user:ada/verified"]`: RolesOf("team:x/owner", "label:staff", "user:ada/verified"),
	} {
		text, err := json.Marshal(roles)
		if err != nil || string(text) != want {
			t.Errorf("%s, want %s, %v", text, want, err)
		}
		back := RolesOf("users")
		if err := json.Unmarshal(text, &back); err != nil || !back.Equal(roles) || back.String() != roles.String() {
			t.Errorf("%v, want %v, %v", back, roles, err)
		}
	}
	for _, text := range []string{`["any","admin"]`, `[""]`, `["user:\ud800"]`, `[null]`} {
		back := RolesOf("users")
		if err := json.Unmarshal([]byte(text), &back); !errors.Is(err, ErrRole) || !back.Equal(RolesOf("users")) {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	if err := json.Unmarshal([]byte(`"any"`), new(Roles)); err == nil {
		t.Error("a text is read as roles")
	}
}
