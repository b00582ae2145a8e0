package operations_test

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher/foreign"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/operations"
	"example.com/latchkey/permission"
)

// textArguments are good arguments, after the context, for the methods that take texts.
// The methods of Users whose only text is the user's id need no entry.
var textArguments = map[string]func(w *operations.World) []any{
	"Guest.Authenticate":        func(w *operations.World) []any { return []any{w.Secret.Reveal()} },
	"Guest.AuthenticateProfile": func(w *operations.World) []any { return []any{w.Secret.Reveal()} },
	"Account.Impersonate": func(*operations.World) []any {
		return []any{latchkey.ImpersonatedUser{Email: kit.Bob}}
	},
	"Account.CreatePushTarget": func(*operations.World) []any {
		return []any{latchkey.NewPushTarget{ID: "wanted", Identifier: "another device", ProviderID: "fcm"}}
	},
	"Account.UpdatePushTarget": func(w *operations.World) []any { return []any{w.Push, "the same device"} },
	"Account.DeletePushTarget": func(w *operations.World) []any { return []any{w.Push} },
	"Users.ExportTo":           func(w *operations.World) []any { return []any{w.User.ID, io.Discard} },
	"Users.CreateTarget": func(w *operations.World) []any {
		return []any{w.User.ID, latchkey.NewTarget{ID: "wanted", ProviderType: "push", Identifier: "another device", ProviderID: "fcm", Name: "Telephone"}}
	},
	"Teams.Create":      func(*operations.World) []any { return []any{latchkey.NewTeam{ID: "wanted", Name: "Pupils"}} },
	"Teams.Get":         func(w *operations.World) []any { return []any{w.Team} },
	"Teams.UpdateName":  func(w *operations.World) []any { return []any{w.Team, "Pupils"} },
	"Teams.Prefs":       func(w *operations.World) []any { return []any{w.Team} },
	"Teams.UpdatePrefs": func(w *operations.World) []any { return []any{w.Team, json.RawMessage(`{"name":"text"}`)} },
	"Teams.Delete":      func(w *operations.World) []any { return []any{w.Team} },
	"Teams.Logs":        func(w *operations.World) []any { return []any{w.Team, []latchkey.Query(nil)} },
	"Teams.Memberships": func(w *operations.World) []any { return []any{w.Team, []latchkey.Query(nil)} },
	"Teams.CreateMembership": func(w *operations.World) []any {
		return []any{w.Team, latchkey.NewMembership{Email: "new@example.org", Phone: "+14155550199", Name: "New", Roles: []string{"player"}}}
	},
	"Guest.StartOAuth2": func(*operations.World) []any {
		return []any{latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL, Success: "https://app.example.org/in", Failure: "https://app.example.org/out", Scopes: []string{"calendar"}}}
	},
	"Account.StartOAuth2": func(*operations.World) []any {
		return []any{latchkey.OAuth2Request{Provider: "acme", RedirectURL: kit.CallbackURL, Success: "https://app.example.org/in", Failure: "https://app.example.org/out", Scopes: []string{"calendar"}}}
	},
	"Guest.FinishOAuth2": func(w *operations.World) []any { return []any{w.NewBack()} },
	"Guest.PostOAuth2":   func(w *operations.World) []any { return []any{"acme", w.NewBack().Parameters} },
	"Guest.RedeemOAuth2Token": func(w *operations.World) []any {
		return []any{w.Handed.UserID, w.Handed.Secret.Reveal(), w.Binding.Reveal()}
	},
	"Guest.CreateIDTokenSession": func(w *operations.World) []any {
		return []any{latchkey.IDTokenSignIn{Provider: "acme", Token: w.IDToken, Nonce: hidden.New("nonce"), Name: "Nora"}}
	},
	"Account.LinkIDToken": func(w *operations.World) []any {
		return []any{latchkey.IDTokenSignIn{Provider: "acme", Token: w.IDToken, Nonce: hidden.New("nonce"), Name: "Nora"}}
	},
	"Guest.FinishPasskeySession":     func(w *operations.World) []any { return []any{w.Offer} },
	"Account.FinishPasskeyEnrolment": func(w *operations.World) []any { return []any{w.Creation, "Telephone"} },
	"Account.FinishPasskeyChallenge": func(w *operations.World) []any { return []any{w.Answer} },
	"Account.RenamePasskey":          func(w *operations.World) []any { return []any{w.Passkey, "Telephone"} },
	"Account.DeletePasskey":          func(w *operations.World) []any { return []any{w.Passkey} },
	"Users.DeletePasskey":            func(w *operations.World) []any { return []any{w.User.ID, w.Passkey} },
	"Account.GetIdentity":            func(w *operations.World) []any { return []any{w.Identity} },
	"Account.DeleteIdentity":         func(w *operations.World) []any { return []any{w.Identity} },
	"Account.ProviderTokens":         func(w *operations.World) []any { return []any{w.Identity} },
	"Users.GetIdentity":              func(w *operations.World) []any { return []any{w.Identity} },
	"Users.DeleteIdentity":           func(w *operations.World) []any { return []any{w.Identity} },
	"Users.ProviderTokens":           func(w *operations.World) []any { return []any{w.Identity} },
	"Guest.AcceptInvitation":         func(w *operations.World) []any { return []any{w.Invitation} },
	"Account.AcceptInvitation":       func(w *operations.World) []any { return []any{w.Invitation} },
	"Guest.DeclineInvitation":        func(w *operations.World) []any { return []any{w.Invitation} },
	"Teams.GetMembership":            func(w *operations.World) []any { return []any{w.Team, w.Member} },
	"Teams.UpdateMembership":         func(w *operations.World) []any { return []any{w.Team, w.Member, []string{"coach"}} },
	"Teams.DeleteMembership":         func(w *operations.World) []any { return []any{w.Team, w.Member} },
	"Users.GetTarget":                func(w *operations.World) []any { return []any{w.User.ID, w.Push} },
	"Users.UpdateTarget": func(w *operations.World) []any {
		return []any{w.User.ID, w.Push, latchkey.TargetUpdate{Identifier: "the same device", ProviderID: "fcm", Name: "Telephone"}}
	},
	"Users.DeleteTarget":               func(w *operations.World) []any { return []any{w.User.ID, w.Push} },
	"Guest.AuthenticateJWT":            func(w *operations.World) []any { return []any{w.JWT.Reveal()} },
	"Guest.ConfirmEmailVerification":   func(w *operations.World) []any { return []any{w.User.ID, w.MailProof.Secret.Reveal()} },
	"Guest.ConfirmPhoneVerification":   func(w *operations.World) []any { return []any{w.User.ID, w.PhoneProof.Secret.Reveal()} },
	"Account.ConfirmEmailVerification": func(w *operations.World) []any { return []any{w.MailProof.Secret.Reveal()} },
	"Account.ConfirmPhoneVerification": func(w *operations.World) []any { return []any{w.PhoneProof.Secret.Reveal()} },
	"Users.GetMFAChallenge":            func(w *operations.World) []any { return []any{w.User.ID, w.Question} },
	"Users.GetByEmail":                 func(*operations.World) []any { return []any{kit.Ada} },
	"Users.GetByPhone":                 func(*operations.World) []any { return []any{kit.OwnPhone} },
	"Guest.ConfirmRecovery":            func(w *operations.World) []any { return []any{w.User.ID, w.Recovery.Secret.Reveal(), "another horse"} },
	"Guest.CreateAccount":              func(*operations.World) []any { return []any{newAccount} },
	"Guest.CreateEmailPasswordSession": func(*operations.World) []any { return []any{kit.Ada, kit.Password} },
	"Guest.CreateEmailToken":           func(*operations.World) []any { return []any{latchkey.NewEmailToken{UserID: "wanted", Email: kit.Ada}} },
	"Guest.CreateMagicURLToken": func(*operations.World) []any {
		return []any{latchkey.NewMagicURLToken{UserID: "wanted", Email: kit.Ada, URL: "https://app.example.org/in?a=b"}}
	},
	"Guest.CreatePhoneToken": func(*operations.World) []any { return []any{"wanted", kit.Phone} },
	"Guest.CreateRecovery":   func(*operations.World) []any { return []any{latchkey.NewRecovery{Email: kit.Ada, URL: kit.RecoverURL}} },
	"Guest.CreateSession":    func(w *operations.World) []any { return []any{w.User.ID, w.Custom.Secret.Reveal()} },
	"Guest.InspectToken":     func(w *operations.World) []any { return []any{w.Link.UserID, w.Link.Secret.Reveal()} },
	"Account.ConfirmMFAChallenge": func(w *operations.World) []any {
		id, code := w.Challenge()
		return []any{id, code}
	},
	"Account.CreateAccount":           func(*operations.World) []any { return []any{newAccount} },
	"Account.CreateEmailVerification": func(*operations.World) []any { return []any{kit.VerifyURL} },
	"Account.CreateMFAAuthenticator":  func(*operations.World) []any { return []any{latchkey.NewMFAAuthenticator{Algorithm: "SHA1"}} },
	"Account.CreateMFAChallenge":      func(*operations.World) []any { return []any{latchkey.FactorRecoveryCode} },
	"Account.DeleteSession":           func(w *operations.World) []any { return []any{w.Other.ID} },
	"Account.ExtendSession":           func(w *operations.World) []any { return []any{w.Other.ID} },
	"Account.GetSession":              func(w *operations.World) []any { return []any{w.Other.ID} },
	"Account.UpdateEmail":             func(*operations.World) []any { return []any{"countess@example.org", kit.Password} },
	"Account.UpdateName":              func(*operations.World) []any { return []any{"Countess"} },
	"Account.UpdatePassword": func(*operations.World) []any {
		return []any{latchkey.PasswordUpdate{New: "another horse", Old: kit.Password}}
	},
	"Account.UpdatePhone":     func(*operations.World) []any { return []any{kit.OwnPhone, kit.Password} },
	"Account.UpdatePrefs":     func(*operations.World) []any { return []any{json.RawMessage(`{"name":"text"}`)} },
	"Account.ConfirmPassword": func(*operations.World) []any { return []any{kit.Password} },
	"Account.CreateEmailChange": func(*operations.World) []any {
		return []any{latchkey.NewEmailChange{Email: "countess@example.org", URL: kit.VerifyURL}, kit.Password}
	},
	"Account.CreatePhoneChange":      func(*operations.World) []any { return []any{kit.Phone, kit.Password} },
	"Account.ConfirmEmailChange":     func(w *operations.World) []any { return []any{w.MailChange.Secret.Reveal(), kit.UndoURL} },
	"Account.ConfirmPhoneChange":     func(w *operations.World) []any { return []any{w.PhoneChange.Secret.Reveal(), kit.UndoURL} },
	"Guest.RestoreAddress":           func(w *operations.World) []any { return []any{w.User.ID, w.Undo.Reveal()} },
	"Account.VerifyMFAAuthenticator": func(w *operations.World) []any { return []any{w.AppCode()} },
	"Users.Create": func(*operations.World) []any {
		return []any{latchkey.NewUser{UserID: "wanted", Email: "new@example.org", Phone: kit.Phone, Password: kit.Password, Name: "New"}}
	},
	"Users.CreateArgon2User": func(*operations.World) []any {
		return []any{hashedUser("$argon2i$v=19$m=20,t=3,p=2$YXBwd3JpdGU$A/54i238ed09ZR4NwlACU5XnkjNBZU9QeOEuhjLiexI")}
	},
	"Users.CreateBcryptUser": func(*operations.World) []any {
		return []any{hashedUser("$2a$05$IjrtSz6SN7UJ6Sh3l.b5jODEvEG2LMJTPAHIaLWRvlWx7if3VMkFO")}
	},
	"Users.CreateMD5User":    func(*operations.World) []any { return []any{hashedUser("144fa7eaa4904e8ee120651997f70dcc")} },
	"Users.CreatePHPassUser": func(*operations.World) []any { return []any{hashedUser("$P$Br387rwferoKN7uwHZqNMu98q3U8RO.")} },
	"Users.CreateSHAUser": func(*operations.World) []any {
		return []any{hashedUser("31c315b0262695ce861bc17c63d2362684d5724c"), "sha1"}
	},
	"Users.CreateScryptUser": func(*operations.World) []any {
		return []any{hashedUser("9c590c2c5811bd800bb0a945d46ec5cd07509ce6e362c3d7fbae9a65129a3fa3da9501ad60ed29ecaab41418bdee4301de973a0ae5e409af0798f3074423f5b7"), foreign.ScryptOptions{Salt: "appwrite"}}
	},
	"Users.CreateScryptModifiedUser": func(*operations.World) []any {
		return []any{hashedUser(signerKey), foreign.ScryptModifiedOptions{Salt: "UxLMreBr6tYyjQ==", Separator: "Bw==", SignerKey: signerKey, MemoryCost: 4}}
	},
	"Engine.Requeue":       func(w *operations.World) []any { return []any{w.GivenUp} },
	"Engine.Discard":       func(w *operations.World) []any { return []any{w.GivenUp} },
	"Users.CreateJWT":      func(w *operations.World) []any { return []any{w.User.ID, w.Other.ID, time.Minute} },
	"Users.DeleteSession":  func(w *operations.World) []any { return []any{w.User.ID, w.Other.ID} },
	"Users.UpdateEmail":    func(w *operations.World) []any { return []any{w.User.ID, "countess@example.org"} },
	"Users.UpdateLabels":   func(w *operations.World) []any { return []any{w.User.ID, []string{"vip", "beta"}} },
	"Users.UpdateName":     func(w *operations.World) []any { return []any{w.User.ID, "Countess"} },
	"Users.UpdatePassword": func(w *operations.World) []any { return []any{w.User.ID, "another horse"} },
	"Users.UpdatePhone":    func(w *operations.World) []any { return []any{w.User.ID, kit.OwnPhone} },
	"Users.UpdatePrefs":    func(w *operations.World) []any { return []any{w.User.ID, json.RawMessage(`{"name":"text"}`)} },
}

const signerKey = "XyEKE9RcTDeLEsL/RjwPDBv/RqDl8fb3gpYEOQaPihbxf1ZAtSOHCjuAAa7Q3oHpCYhXSN9tizHgVOwn6krflQ=="

func hashedUser(hash string) latchkey.HashedUser {
	return latchkey.HashedUser{UserID: "wanted", Email: "new@example.org", Hash: hidden.New(hash), Name: "New"}
}

var newAccount = latchkey.NewAccount{UserID: "wanted", Email: "new@example.org", Password: kit.Password, Name: "New"}

// textsIn returns the texts in a value.
func textsIn(v reflect.Value) (texts []reflect.Value) {
	switch {
	case v.Kind() == reflect.String, v.Type() == reflect.TypeFor[json.RawMessage]():
		return []reflect.Value{v}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			texts = append(texts, textsIn(v.Field(i))...)
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			texts = append(texts, textsIn(v.Index(i))...)
		}
	}
	return texts
}

// takesText reports whether a value of a type holds texts.
func takesText(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String:
		return true
	case reflect.Slice:
		return t == reflect.TypeFor[json.RawMessage]() || takesText(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if takesText(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

// argumentsOf returns the arguments of a method as values that can be set: good ones
// where they are known, otherwise the user's id and zero values.
func argumentsOf(w *operations.World, name string, method reflect.Value) (arguments []reflect.Value) {
	typ := method.Type()
	var good []any
	if known := textArguments[name]; known != nil {
		good = known(w)
	}
	for i := 1; i < typ.NumIn(); i++ {
		v := reflect.New(typ.In(i)).Elem()
		switch {
		case i <= len(good):
			v.Set(reflect.ValueOf(good[i-1]))
		case i == 1 && v.Kind() == reflect.String && strings.HasPrefix(name, "Users."):
			v.SetString(w.User.ID)
		}
		arguments = append(arguments, v)
	}
	return arguments
}

// spoilt returns variants of a good text that are not UTF-8, or not a text of JSON.
func spoilt(v reflect.Value) (out []reflect.Value) {
	add := func(text string) { out = append(out, reflect.ValueOf(text).Convert(v.Type())) }
	for _, bad := range []string{"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xe2\x82"} {
		if v.Kind() == reflect.Slice {
			add(strings.Replace(string(v.Bytes()), "text", "te"+bad+"xt", 1))
			add(strings.Replace(string(v.Bytes()), "name", bad, 1))
			continue
		}
		add(bad)
		add(v.String() + bad)
		add(bad + v.String())
		add(v.String()[:len(v.String())/2] + bad + v.String()[len(v.String())/2:])
		add(v.String()[:max(0, len(v.String())-len(bad))] + bad) // of the same length
	}
	if v.Kind() == reflect.Slice {
		for _, bad := range []string{`\ud800`, `\udc00`, `\udc00\ud800`, `\u0000`} {
			add(strings.Replace(string(v.Bytes()), "text", bad, 1))
			add(strings.Replace(string(v.Bytes()), "name", bad, 1))
		}
	}
	return out
}

// H-26: a text that is not UTF-8 is refused by every method in every argument, as an
// answer of its caller's. Nothing of it is stored, neither as it was sent nor with another
// character in place of the bad bytes.
func TestH26TextsThatAreNotUTF8AreRefused(t *testing.T) {
	seen := make(map[string]bool)
	for _, op := range operations.Table {
		name, _, _ := strings.Cut(op.Name, " ")
		handle, method, _ := strings.Cut(name, ".")
		if seen[name] {
			continue
		}
		seen[name] = true
		handleOf := func(w *operations.World) reflect.Value {
			return map[string]reflect.Value{"Guest": reflect.ValueOf(w.Visitor), "Account": reflect.ValueOf(w.Account), "Users": reflect.ValueOf(w.Users()), "Teams": reflect.ValueOf(w.Engine.Teams()), "Engine": reflect.ValueOf(w.Engine)}[handle]
		}
		typ := map[string]reflect.Type{"Guest": reflect.TypeFor[*latchkey.Guest](), "Account": reflect.TypeFor[*latchkey.Account](), "Users": reflect.TypeFor[*latchkey.Users](), "Teams": reflect.TypeFor[*latchkey.Teams](), "Engine": reflect.TypeFor[*latchkey.Engine]()}[handle]
		m, found := typ.MethodByName(method)
		if !found {
			t.Fatalf("no %s", name)
		}
		texts := 0
		for i := 2; i < m.Type.NumIn(); i++ { // after the receiver and the context
			switch in := m.Type.In(i); in {
			case reflect.TypeFor[[]latchkey.Query](), reflect.TypeFor[permission.Action](), reflect.TypeFor[permission.Set](): // checked when they are made, or allowing nothing
			default:
				if takesText(in) {
					texts++
				}
			}
		}
		if texts == 0 {
			continue
		}
		if textArguments[name] == nil && (handle != "Users" || texts > 1) {
			t.Errorf("%s takes texts, and the test has none for it", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.OnAShare(t, kit.Documented, func(k *kit.Kit) {
				w := operations.NewWorld(k, name != "Account.CreateAccount", op)
				method := handleOf(w).MethodByName(method)
				good := argumentsOf(w, name, method)
				call := func() error {
					in := append([]reflect.Value{reflect.ValueOf(k.Ctx)}, good...)
					do := method.Call
					if method.Type().IsVariadic() {
						do = method.CallSlice
					}
					out := do(in)
					err, _ := out[len(out)-1].Interface().(error)
					return err
				}
				for i, argument := range good {
					for j, text := range textsIn(argument) {
						was := reflect.ValueOf(text.Interface())
						for _, bad := range spoilt(was) {
							text.Set(bad)
							err := call()
							var own *latchkey.Error
							if !errors.As(err, &own) || own.Category != latchkey.CategoryInvalid && own.Category != latchkey.CategoryUnauthorized {
								k.Errorf("text %d of argument %d is %q: %v (%v)", j, i+1, bad, err, errors.Unwrap(err))
							}
						}
						text.Set(was)
					}
				}
				good = argumentsOf(w, name, method) // a callback is used up by its first call
				if err := call(); err != nil {
					k.Errorf("good texts: %v", err)
				}
				for table, rows := range k.Everything() {
					for _, row := range rows {
						if strings.Contains(row, "\uFFFD") {
							k.Errorf("%s: %s", table, row)
						}
					}
				}
			})
		})
	}
}
