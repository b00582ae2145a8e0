package latchkey_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/store/memory"
)

// closed is the policy of a service that only invited people use.
var closed = latchkey.Policy{SignUp: latchkey.SignUpClosed}

const stranger = "stranger@example.org"

func TestWhileSignUpIsClosedNoClientMakesAUser(t *testing.T) {
	person := oauth.Profile{Subject: "new", Email: stranger, EmailVerified: true}
	for what, enter := range map[string]func(k *kit.Kit) error{
		"signing up": func(k *kit.Kit) error {
			return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: stranger, Password: kit.Password}))
		},
		"signing up with a taken address": func(k *kit.Kit) error {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada})))
			return kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password}))
		},
		"without proof": func(k *kit.Kit) error { return kit.Err(k.Visitor.CreateAnonymousSession(k.Ctx)) },
		"by a provider": func(k *kit.Kit) error {
			return signUpBy(k, person)
		},
		"by a provider with an unproven address that a user has": func(k *kit.Kit) error {
			k.Must(kit.Err(k.Users().Create(k.Ctx, latchkey.NewUser{Email: stranger})))
			return signUpBy(k, oauth.Profile{Subject: "new", Email: stranger})
		},
		"by an ID token": func(k *kit.Kit) error {
			return kit.Err(k.Visitor.CreateIDTokenSession(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: k.Acme.IDToken(person)}))
		},
	} {
		t.Run(what, func(t *testing.T) {
			kit.OnEveryStore(t, closed, func(k *kit.Kit) {
				if err := enter(k); !errors.Is(err, latchkey.ErrSignUpClosed) {
					k.Error(err)
				}
				if n := k.Rows()["users"]; n > 1 {
					k.Errorf("%d users", n)
				}
			})
		})
	}
}

// signUpBy finishes a sign-in of a person by a provider.
func signUpBy(k *kit.Kit, person oauth.Profile) error {
	k.Helper()
	start := k.Begin(k.Visitor, latchkey.OAuth2Request{Provider: "acme"})
	return kit.Err(k.Visitor.FinishOAuth2(k.Ctx, start.Callback(k.Acme.Code(person))))
}

// Links and codes are answered alike, and nothing is sent to an address that no user has.
func TestWhileSignUpIsClosedNothingTellsWhoHasAnAccount(t *testing.T) {
	kit.OnEveryStore(t, closed, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, user.ID, true)))
		for _, to := range []string{kit.Ada, stranger} {
			k.Must(kit.Err(k.Visitor.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{UserID: "asked", Email: to, URL: kit.VerifyURL})))
			k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: to})))
		}
		for _, to := range []string{kit.Phone, kit.OwnPhone} {
			k.Must(kit.Err(k.Visitor.CreatePhoneToken(k.Ctx, "", to)))
		}
		if got := k.Posted(k.Engine); !slices.Equal(got, []string{"email-otp " + kit.Ada, "magic-url " + kit.Ada, "phone-otp " + kit.Phone}) {
			k.Error(got)
		}
	})
}

// A right link or code makes no user, also one from before sign-up was closed, unless the server has asked
// for it.
func TestWhileSignUpIsClosedARightCodeMakesNoUser(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		token, code := k.AskCode(stranger)
		k.Policy = closed
		engine := k.Configured(func(*latchkey.Config) {})
		if err := kit.Err(engine.Guest(kit.Client).CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
		if n := k.Rows()["users"] + k.Rows()["tokens"]; n != 0 {
			k.Errorf("%d rows", n)
		}
		server := engine.Users().Guest(kit.Client)
		asked, err := server.CreateMagicURLToken(k.Ctx, latchkey.NewMagicURLToken{Email: stranger, URL: kit.VerifyURL})
		k.Must(err)
		k.Must(kit.Err(engine.Guest(kit.Client).CreateSession(k.Ctx, asked.UserID, k.MailOf(asked, stranger).Secret)))
	})
}

// An unproven address of somebody stays where it is: its owner could not have an account.
func TestWhileSignUpIsClosedARefusedLinkTakesNoAddress(t *testing.T) {
	kit.OnEveryStore(t, closed, func(k *kit.Kit) {
		user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Phone: kit.Phone})
		k.Must(err)
		k.Must(kit.Err(k.Users().UpdatePhoneVerification(k.Ctx, user.ID, true)))
		token, code := k.AskCode(kit.Ada)
		if err := kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)); !errors.Is(err, latchkey.ErrInvalidToken) {
			k.Error(err)
		}
		got, err := k.Users().Get(k.Ctx, user.ID)
		k.Must(err)
		if got.Email != kit.Ada {
			k.Errorf("the address is %q", got.Email)
		}
	})
}

func TestWhileSignUpIsClosedAnonymousUsersStaySo(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		session, _ := k.Anonymous()
		k.Policy = closed
		engine := k.Configured(func(*latchkey.Config) {})
		guest := engine.Guest(kit.Client)
		account, err := guest.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		for what, change := range map[string]func() error{
			"CreateAccount": func() error {
				return kit.Err(account.CreateAccount(k.Ctx, latchkey.NewAccount{Email: stranger, Password: kit.Password}))
			},
			"UpdateEmail": func() error { return kit.Err(account.UpdateEmail(k.Ctx, stranger, kit.Password)) },
			"UpdatePhone": func() error { return kit.Err(account.UpdatePhone(k.Ctx, kit.Phone, kit.Password)) },
			"UpdatePassword": func() error {
				return kit.Err(account.UpdatePassword(k.Ctx, latchkey.PasswordUpdate{New: kit.Password}))
			},
			"CreateEmailChange": func() error {
				return kit.Err(account.CreateEmailChange(k.Ctx, latchkey.NewEmailChange{Email: stranger, URL: kit.VerifyURL}, ""))
			},
			"LinkIDToken": func() error {
				token := k.Acme.IDToken(oauth.Profile{Subject: "new", Email: stranger, EmailVerified: true})
				return kit.Err(account.LinkIDToken(k.Ctx, latchkey.IDTokenSignIn{Provider: "acme", Token: token}))
			},
		} {
			k.Refuses(what, latchkey.ErrSignUpClosed, change)
		}
	})
}

// Who is invited, or made by the server, gets in as ever.
func TestWhileSignUpIsClosedTheServerAndInvitationsMakeUsers(t *testing.T) {
	kit.OnEveryStore(t, closed, func(k *kit.Kit) {
		_, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Ada, Password: kit.Password})
		k.Must(err)
		_, account := k.SignIn(kit.Ada)
		team, err := account.Teams().Create(k.Ctx, latchkey.NewTeam{Name: "Bakers"})
		k.Must(err)
		k.Must(kit.Err(account.Teams().CreateMembership(k.Ctx, team.ID, latchkey.NewMembership{Email: stranger, URL: kit.JoinURL})))
		accepted, err := k.Visitor.AcceptInvitation(k.Ctx, k.InvitationTo(stranger))
		k.Must(err)
		if accepted.Membership.UserEmail != stranger {
			k.Errorf("%+v", accepted.Membership)
		}
		token, code := k.AskCode(stranger) // a user by now
		k.Must(kit.Err(k.Visitor.CreateSession(k.Ctx, token.UserID, code)))
	})
}

func TestTheLimitsOfThePolicyOfSignUp(t *testing.T) {
	for _, policy := range []latchkey.Policy{{SignUp: -1}, {SignUp: 2}} {
		_, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Policy: policy})
		if err == nil {
			t.Errorf("%v is taken", policy.SignUp)
		}
	}
}

// demanding is the policy of a service that asks for proven addresses.
var demanding = latchkey.Policy{RequireVerifiedEmail: true}

// unverified signs a user in whose address is not proven.
func unverified(k *kit.Kit) (*latchkey.User, *latchkey.Unverified, latchkey.Secret) {
	k.Helper()
	user := k.SignUp(kit.Ada)
	session, err := k.Visitor.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
	k.Must(err)
	_, err = k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
	refused, is := errors.AsType[*latchkey.UnverifiedEmailError](err)
	if !is || !errors.Is(err, latchkey.ErrEmailVerificationRequired) {
		k.Fatal(err)
	}
	return user, refused.Unverified, session.Secret
}

func TestAUserWithoutAProvenAddressMayProveAndCorrectIt(t *testing.T) {
	kit.OnEveryStore(t, demanding, func(k *kit.Kit) {
		user, u, secret := unverified(k)
		if u.UserID() != user.ID || u.SessionID() == "" || fmt.Sprintf("%v", u) != "latchkey.Unverified("+user.ID+")" {
			k.Errorf("%v", u)
		}
		answers(k, "a correction without the password", latchkey.ErrInvalidCredentials, func() error { return u.UpdateEmail(k.Ctx, countess, "wrong horse") })
		k.Must(u.UpdateEmail(k.Ctx, countess, kit.Password))
		email, err := u.Email(k.Ctx)
		k.Must(err)
		token, err := u.CreateEmailVerification(k.Ctx, kit.VerifyURL)
		k.Must(err)
		if email != countess {
			k.Errorf("the address is %s", email)
		}
		k.Must(kit.Err(u.ConfirmEmailVerification(k.Ctx, k.MailOf(token, countess).Secret)))
		account, err := k.Visitor.Authenticate(k.Ctx, secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.User(k.Ctx)))
		k.Refuses("a correction of a proven address", latchkey.ErrEmailAlreadyVerified, func() error { return u.UpdateEmail(k.Ctx, kit.Ada, kit.Password) })
	})
}

func TestAUserWithoutAProvenAddressMaySignOut(t *testing.T) {
	kit.OnEveryStore(t, demanding, func(k *kit.Kit) {
		_, u, secret := unverified(k)
		k.Must(u.DeleteSession(k.Ctx))
		k.Refuses("the secret", latchkey.ErrUnauthorized, func() error { return kit.Err(k.Visitor.Authenticate(k.Ctx, secret.Reveal())) })
		k.Refuses("the handle", latchkey.ErrUnauthorized, func() error { return kit.Err(u.Email(k.Ctx)) })
		k.Refuses("a zero handle", latchkey.ErrUnauthorized, func() error { return kit.Err(new(latchkey.Unverified).Email(k.Ctx)) })
	})
}

// An account is always that of a user with a proven address, by every way in, and a handle from before
// does not outlive the proof.
func TestEveryAccountIsThatOfAProvenUser(t *testing.T) {
	kit.OnEveryStore(t, demanding, func(k *kit.Kit) {
		phone, err := k.Visitor.CreatePhoneToken(k.Ctx, "", kit.Phone)
		k.Must(err)
		code := k.MailOf(phone, kit.Phone).Secret
		byPhone, err := k.Visitor.CreateSession(k.Ctx, phone.UserID, code)
		k.Must(err)
		anonymous, err := k.Visitor.CreateAnonymousSession(k.Ctx)
		k.Must(err)
		plain, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: kit.Bob})
		k.Must(err)
		byServer, err := k.Users().CreateSession(k.Ctx, plain.ID)
		k.Must(err)
		for what, s := range map[string]*latchkey.Session{"by phone": byPhone, "anonymous": anonymous, "by the server": byServer} {
			if err := kit.Err(k.Visitor.Authenticate(k.Ctx, s.Secret.Reveal())); !errors.Is(err, latchkey.ErrEmailVerificationRequired) {
				k.Errorf("%s: %v", what, err)
			}
			if _, _, err := k.Visitor.AuthenticateProfile(k.Ctx, s.Secret.Reveal()); !errors.Is(err, latchkey.ErrEmailVerificationRequired) {
				k.Errorf("%s, with the profile: %v", what, err)
			}
			if err := kit.Err(k.Users().CreateJWT(k.Ctx, s.UserID, s.ID, 0)); !errors.Is(err, latchkey.ErrEmailVerificationRequired) {
				k.Errorf("a JWT, %s: %v", what, err)
			}
		}
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, plain.ID, true)))
		account, err := k.Visitor.Authenticate(k.Ctx, byServer.Secret.Reveal())
		k.Must(err)
		byJWT, _ := k.ByJWT(plain.ID, "")
		k.Must(k.Users().DeleteSessions(k.Ctx, plain.ID))
		alone, _ := k.ByJWT(plain.ID, "")
		k.Must(kit.Err(k.Users().UpdateEmailVerification(k.Ctx, plain.ID, false)))
		for what, a := range map[string]*latchkey.Account{"a session": account, "a JWT of one": byJWT, "a JWT": alone} {
			if err := kit.Err(a.UpdateName(k.Ctx, "Bob")); err == nil {
				k.Errorf("%s acts", what)
			}
		}
	})
}

// A factor that is owed comes first.
func TestAFactorIsOwedBeforeTheAddressIsAskedFor(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		_, app, _ := k.Enrolled(latchkey.NewMFAAuthenticator{})
		k.Policy = demanding
		engine := k.Configured(func(*latchkey.Config) {})
		guest := engine.Guest(kit.Client)
		session, err := guest.CreateEmailPasswordSession(k.Ctx, kit.Ada, kit.Password)
		k.Must(err)
		_, err = guest.Authenticate(k.Ctx, session.Secret.Reveal())
		owed, is := errors.AsType[*latchkey.MoreFactorsError](err)
		if !is {
			k.Fatal(err)
		}
		full, err := k.Answers(owed.Pending, latchkey.FactorTOTP, app.CodeAt(1))
		k.Must(err)
		if err := kit.Err(guest.Authenticate(k.Ctx, full.Secret.Reveal())); !errors.Is(err, latchkey.ErrEmailVerificationRequired) {
			k.Error(err)
		}
	})
}

// A guest of the server signs people up, and so does a link that the server has asked for, until it
// expires: a client that asks after that inherits nothing.
func TestWhileSignUpIsClosedAnExpiredLinkOfTheServerAdmitsNobody(t *testing.T) {
	kit.OnEveryStore(t, closed, func(k *kit.Kit) {
		server := k.Users().Guest(kit.Client)
		k.Must(kit.Err(server.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: kit.Password})))
		k.Must(kit.Err(server.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: stranger})))
		k.Clock.Advance(time.Hour)
		k.Must(kit.Err(k.Visitor.CreateEmailToken(k.Ctx, latchkey.NewEmailToken{Email: stranger})))
		if got := k.Posted(k.Engine); slices.Contains(got[min(1, len(got)):], "email-otp "+stranger) {
			k.Error(got)
		}
	})
}
