// First is the shortest way to a session over HTTP: sign up, sign in, who am I, sign out.
//
//	KEY=$(go run ./cmd/latchkey key make) go run ./examples/first
//	curl -d 'email=ada@example.org&password=correct horse' localhost:8080/sign-up
package main

import (
	"log"
	"net/http"
	"os"

	"example.com/latchkey"
	"example.com/latchkey/store/sqlite"
	"example.com/latchkey/web"
)

func main() {
	keys := latchkey.Keys{Active: must(latchkey.ParseKey(os.Getenv("KEY")))}
	engine := must(latchkey.New(must(sqlite.Open("app.db")), latchkey.Config{Keys: keys}))
	site := must(web.New(engine, web.Config{Base: "http://localhost:8080"}))

	http.Handle("POST /sign-up", site.Handle(web.JSON(func(w http.ResponseWriter, r *http.Request) (any, error) {
		return site.Guest(r).CreateAccount(r.Context(), latchkey.NewAccount{Email: r.FormValue("email"), Password: r.FormValue("password")})
	})))
	http.Handle("POST /sign-in", site.Handle(web.JSON(func(w http.ResponseWriter, r *http.Request) (any, error) {
		session, err := site.Guest(r).CreateEmailPasswordSession(r.Context(), r.FormValue("email"), r.FormValue("password"))
		site.SignIn(w, r, session)
		return session, err
	})))
	http.Handle("GET /me", site.Require(web.AccountJSON(func(w http.ResponseWriter, r *http.Request, account *latchkey.Account) (any, error) {
		return account.User(r.Context())
	})))
	http.Handle("POST /sign-out", site.Handle(web.JSON(func(w http.ResponseWriter, r *http.Request) (any, error) {
		return nil, site.SignOut(w, r)
	})))
	log.Fatal(http.ListenAndServe("localhost:8080", nil))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
