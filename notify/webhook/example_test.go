package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/notify/webhook"
)

// An event goes to a receiver, which verifies and decodes it.
func ExampleEndpoint_Receive() {
	secrets := []hidden.Text{webhook.GenerateSecret()}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil || webhook.Verify(r.Header, body, secrets, time.Now()) != nil {
			http.Error(w, "refused", http.StatusUnauthorized)
			return
		}
		var message struct {
			Type string
			Data latchkey.Event
		}
		if err := json.Unmarshal(body, &message); err != nil {
			http.Error(w, "refused", http.StatusBadRequest)
			return
		}
		switch message.Type {
		case "users.*.create":
			fmt.Println("a new user:", message.Data.UserID)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()

	endpoint, err := webhook.New(webhook.Config{
		URL: hidden.New(receiver.URL), Secrets: secrets,
		AllowPrivate: true, AllowHTTP: true, // the receiver of this example is on the same machine
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer endpoint.CloseIdleConnections()
	err = endpoint.Receive(context.Background(), latchkey.Event{ID: "e1", Name: "users.ada.create", Time: time.Now(), UserID: "ada", Mode: "guest"})
	fmt.Println(err)
	// Output:
	// a new user: ada
	// <nil>
}

// A secret is replaced in three steps: both sign, the receiver takes the new one, the new one signs
// alone.
func ExampleEndpoint_SetSecrets() {
	former := webhook.GenerateSecret()
	endpoint, err := webhook.New(webhook.Config{URL: hidden.New("https://crm.example.org/hook"), Secrets: []hidden.Text{former}})
	if err != nil {
		fmt.Println(err)
		return
	}
	next := webhook.GenerateSecret()
	fmt.Println(endpoint.SetSecrets(next, former))
	// The receiver is given the new secret here.
	fmt.Println(endpoint.SetSecrets(next))
	// Output:
	// <nil>
	// <nil>
}
