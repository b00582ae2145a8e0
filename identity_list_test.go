package latchkey_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/oauth"
	"example.com/latchkey/query"
)

func TestIdentitiesAreListedWithTheDocumentedQueries(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		_, account := k.SignIn(kit.Ada)
		for who, list := range map[string]func(queries ...latchkey.Query) (*latchkey.IdentityList, error){
			"account": func(queries ...latchkey.Query) (*latchkey.IdentityList, error) {
				return account.Identities(k.Ctx, queries...)
			},
			"server": func(queries ...latchkey.Query) (*latchkey.IdentityList, error) {
				return k.Users().Identities(k.Ctx, queries...)
			},
		} {
			for _, queries := range [][]latchkey.Query{
				nil, {query.Equal("provider", "github")}, {query.OrderDesc("providerUid"), query.Limit(5)}, {query.StartsWith("providerEmail", "ada")},
				{query.IsNull("providerAccessTokenExpiry"), query.Equal("userId", "ada"), query.NoTotal()},
			} {
				found, err := list(queries...)
				k.Must(err)
				if found.Total != 0 || found.Identities == nil || len(found.Identities) != 0 || found.Next != "" || found.Prev != "" {
					k.Errorf("%s: %+v", who, found)
				}
			}
			for what, row := range map[string]struct {
				query latchkey.Query
				want  error
			}{
				"an unknown attribute": {query.Equal("password", "x"), latchkey.ErrArgumentInvalid},
				"another type":         {query.Equal("provider", 1), latchkey.ErrArgumentInvalid},
				"a search":             {query.Search("x"), latchkey.ErrQueryInvalid},
				"an unknown cursor":    {query.CursorAfter("nobody"), latchkey.ErrCursorNotFound},
				"no page":              {query.Page("x"), latchkey.ErrQueryInvalid},
			} {
				k.Refuses(who+": "+what, row.want, func() error { return kit.Err(list(row.query)) })
			}
		}
	})
}

func TestIdentitiesAreListedFoundAndDeleted(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		var ids []string
		for i, p := range []*kit.Provider{k.Acme, k.Other, k.Acme} {
			k.Clock.Advance(time.Second)
			result, err := k.LinkBy(k.Visitor, session.Secret, p, oauth.Profile{Subject: fmt.Sprint("s", i), Email: fmt.Sprintf("s%d@example.net", i)})
			k.Must(err)
			ids = append(ids, result.Identity.ID)
		}
		k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "bob", Email: kit.Bob})
		for what, row := range map[string]struct {
			queries []latchkey.Query
			want    []string
		}{
			"all":       {nil, ids},
			"provider":  {[]latchkey.Query{query.Equal("provider", "acme")}, []string{ids[0], ids[2]}},
			"address":   {[]latchkey.Query{query.Equal("providerEmail", "s1@example.net")}, ids[1:2]},
			"subject":   {[]latchkey.Query{query.Equal("providerUid", "s2")}, ids[2:]},
			"backwards": {[]latchkey.Query{query.OrderDesc("$createdAt"), query.Limit(2)}, []string{ids[2], ids[1]}},
			"after":     {[]latchkey.Query{query.CursorAfter(ids[0])}, ids[1:]},
		} {
			own, err := account.Identities(k.Ctx, row.queries...)
			k.Must(err)
			all, err := k.Users().Identities(k.Ctx, append(row.queries, query.Equal("userId", account.UserID()))...)
			k.Must(err)
			for who, list := range map[string]*latchkey.IdentityList{"account": own, "server": all} {
				var got []string
				for _, i := range list.Identities {
					got = append(got, i.ID)
				}
				k.Same(who+": "+what, got, row.want)
			}
		}
		list, err := k.Users().Identities(k.Ctx)
		k.Must(err)
		if list.Total != 4 {
			k.Errorf("%d identities", list.Total)
		}
		one, err := account.GetIdentity(k.Ctx, ids[1])
		k.Must(err)
		same, err := k.Users().GetIdentity(k.Ctx, ids[1])
		k.Must(err)
		k.Same("identity", one, same)
		if one.Provider != "other" || one.ProviderUID != "s1" || one.ProviderEmail != "s1@example.net" || one.ProviderEmailVerified {
			k.Errorf("%+v", one)
		}
		theirs := list.Identities[3].ID
		k.Refuses("another user's", latchkey.ErrIdentityNotFound, func() error { return kit.Err(account.GetIdentity(k.Ctx, theirs)) })
		k.Refuses("an unknown one", latchkey.ErrIdentityNotFound, func() error { return kit.Err(k.Users().GetIdentity(k.Ctx, "nobody")) })
		opened := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "s0"})
		elsewhere := k.SignInBy(k.Visitor, k.Other, oauth.Profile{Subject: "s1"})
		k.Forget()
		k.Must(account.DeleteIdentity(k.Ctx, ids[0]))
		if err := kit.Err(k.Visitor.Authenticate(k.Ctx, opened.Secret.Reveal())); !errors.Is(err, latchkey.ErrUnauthorized) {
			k.Errorf("the session that it has opened: %v", err)
		}
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, elsewhere.Secret.Reveal())))
		k.Must(kit.Err(account.User(k.Ctx)))
		k.Same("events", k.Events(account.UserID(), "U", ids[0], "I", opened.ID, "S"), []string{"users.U.sessions.S.delete by user", "users.U.identities.I.delete by user"})
		if s := k.SignInBy(k.Visitor, k.Acme, oauth.Profile{Subject: "s0", Email: "new@example.net"}); s.UserID == account.UserID() {
			k.Error("an unlinked identity signs in")
		}
	})
}
