package transfer_test

import (
	"fmt"
	"strings"

	"example.com/latchkey/transfer"
)

// A host reads a file of another system. Engine.Import takes the records as they are.
func ExampleRead() {
	file := strings.NewReader(`{"total":2,"users":[
		{"$id":"ada","name":"Ada","email":"ada@example.org","status":true},
		{"$id":"bob","name":"Bob","email":"bob@example.org","status":true,
			"password":"secret","hash":"plaintext","passwordUpdate":"2023-01-01T10:00:00.000+00:00"}
	]}`)
	for p, err := range transfer.Read(file, transfer.Appwrite, transfer.Options{}) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("line", p.Line, p.User.ID, p.User.Email)
	}
	// Output:
	// line 1 ada ada@example.org
	// line 2: its password: the kind of its hash is not known
}
