package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/transfer"
)

// arrival is a fixture on its way into an engine.
type arrival struct {
	file    string
	format  transfer.Format
	options func(testing.TB) transfer.Options
	users   int
	refused int
	// signIn are the users who sign in with their former passwords, and stopped those who would,
	// with the error.
	signIn  []string
	stopped map[string]error
}

func none(testing.TB) transfer.Options { return transfer.Options{} }

func just(o transfer.Options) func(testing.TB) transfer.Options {
	return func(testing.TB) transfer.Options { return o }
}

var arrivals = []arrival{
	{"firebase.json", transfer.Firebase, just(firebaseOptions), 3, 0, []string{"ada"}, map[string]error{"grace": latchkey.ErrUserBlocked}},
	{"firebase.csv", transfer.FirebaseCSV, just(firebaseOptions), 3, 0, []string{"ada"}, map[string]error{"grace": latchkey.ErrUserBlocked, "lin": latchkey.ErrInvalidCredentials}},
	{"auth0.ndjson", transfer.Auth0, auth0Options, 4, 0, []string{"ada"}, map[string]error{"grace": latchkey.ErrUserBlocked, "lin": latchkey.ErrInvalidCredentials}},
	{"auth0.csv", transfer.Auth0, auth0Options, 2, 0, []string{"ada"}, nil},
	{"auth0-passwords.ndjson", transfer.Auth0Passwords, none, 2, 0, []string{"ada", "grace"}, nil},
	{"supabase.csv", transfer.Supabase, none, 5, 0, []string{"ada", "lin"}, map[string]error{"grace": latchkey.ErrInvalidCredentials, "hedy": latchkey.ErrUserBlocked}},
	{"supabase.ndjson", transfer.Supabase, none, 2, 0, []string{"ada"}, nil},
	{"pocketbase.json", transfer.PocketBase, none, 2, 0, []string{"ada", "grace"}, nil},
	{"keycloak.json", transfer.Keycloak, just(keycloakOptions), 4, 1, []string{"ada", "lin", "hedy"}, map[string]error{"grace": latchkey.ErrUserBlocked}},
	{"appwrite.json", transfer.Appwrite, none, 8, 0, []string{"ada", "lin", "hedy", "emmy", "mary", "vera"}, map[string]error{"grace": latchkey.ErrUserBlocked}},
	{"wordpress.csv", transfer.WordPress, none, 3, 0, []string{"ada", "lin"}, map[string]error{"grace": latchkey.ErrUserBlocked}},
	{"wordpress-plugin.csv", transfer.WordPress, none, 1, 0, []string{"hedy"}, nil},
}

// Each fixture goes into an engine: first as a trial, which leaves nothing, then in earnest, and
// then again, which finds each user. Each user signs in with the password of the other system.
func TestFixturesMoveIn(t *testing.T) {
	for _, a := range arrivals {
		t.Run(a.file, func(t *testing.T) {
			k := authtest.New(t, latchkey.Config{})
			for _, step := range []struct {
				options latchkey.ImportOptions
				want    latchkey.Imported
				after   int
			}{
				{latchkey.ImportOptions{TrustVerified: true, DryRun: true}, latchkey.Imported{Created: a.users, Refused: a.refused}, 0},
				{latchkey.ImportOptions{TrustVerified: true}, latchkey.Imported{Created: a.users, Refused: a.refused}, a.users},
				{latchkey.ImportOptions{TrustVerified: true}, latchkey.Imported{Existed: a.users, Refused: a.refused}, a.users},
			} {
				moveIn(t, k, a, step.options, step.want)
				list, err := k.Users().List(context.Background())
				if err != nil || list.Total != step.after {
					t.Fatalf("%v, %v users", err, list)
				}
			}
			for _, name := range a.signIn {
				signIn(t, k, name, nil)
			}
			for name, want := range a.stopped {
				signIn(t, k, name, want)
			}
			if t.Failed() {
				return
			}
			theSameAs(t, k, a)
		})
	}
}

// moveIn imports a fixture.
func moveIn(t *testing.T, k *authtest.Kit, a arrival, o latchkey.ImportOptions, want latchkey.Imported) {
	t.Helper()
	o.OnResult = func(r latchkey.ImportResult) {
		if r.Err != nil && want.Refused == 0 {
			t.Errorf("line %d: %v", r.Line, r.Err)
		}
	}
	records := transfer.Read(strings.NewReader(fixture(t, a.file)), a.format, a.options(t))
	done, err := k.Import(context.Background(), records, o)
	if err != nil || done != want {
		t.Fatalf("%+v, %v", done, err)
	}
}

func signIn(t *testing.T, k *authtest.Kit, name string, want error) {
	t.Helper()
	email := name + "@example.org"
	if _, err := k.Visitor.CreateEmailPasswordSession(context.Background(), email, passwordOf(email)); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", name, err, want)
	}
	if _, err := k.Visitor.CreateEmailPasswordSession(context.Background(), email, "another password"); err == nil {
		t.Errorf("%s signs in with another password", name)
	}
}

// theSameAs compares the users of an engine with those of a fixture.
func theSameAs(t *testing.T, k *authtest.Kit, a arrival) {
	t.Helper()
	for _, want := range read(fixture(t, a.file), a.format, a.options(t)).users {
		got, err := k.Users().Get(context.Background(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		show := func(parts ...any) string { return fmt.Sprint(parts...) }
		if diff := cmp.Diff(show(want.Email, want.Phone, want.Name, want.EmailVerified, want.PhoneVerified, !want.Blocked, want.MFA),
			show(got.Email, got.Phone, got.Name, got.EmailVerification, got.PhoneVerification, got.Status, got.MFA)); diff != "" {
			t.Error(diff)
		}
	}
}

// Everything that a file of another system has made comes out again, as lines of our own, and
// those go into another engine.
func TestUsersOfOtherSystemsMoveOut(t *testing.T) {
	for _, a := range arrivals {
		t.Run(a.file, func(t *testing.T) {
			first, second := authtest.New(t, latchkey.Config{}), authtest.New(t, latchkey.Config{})
			moveIn(t, first, a, latchkey.ImportOptions{TrustVerified: true}, latchkey.Imported{Created: a.users, Refused: a.refused})
			text := exported(t, first)
			done, err := second.Import(context.Background(), transfer.Read(strings.NewReader(text), transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{TrustVerified: true})
			if want := (latchkey.Imported{Created: a.users}); err != nil || done != want {
				t.Fatalf("%+v, %v", done, err)
			}
			if diff := cmp.Diff(text, exported(t, second)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// exported returns all that an engine has, with secrets.
func exported(t *testing.T, k *authtest.Kit) string {
	t.Helper()
	var text strings.Builder
	w := transfer.NewWriter(&text, true, k.Clock.Now())
	if err := k.Export(context.Background(), latchkey.ExportOptions{Secrets: true}, w.Write); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}
