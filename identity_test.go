package latchkey_test

import (
	"testing"

	"example.com/latchkey"
	"example.com/latchkey/internal/kit"
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
