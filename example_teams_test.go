package latchkey_test

import (
	"context"
	"fmt"
	"log"

	"example.com/latchkey"
	"example.com/latchkey/hidden"
	"example.com/latchkey/permission"
)

// An owner invites a person to a team. The person opens the link in the mail, presses a button,
// and is a member, with a session.
func ExampleGuest_AcceptInvitation() {
	ctx, site := context.Background(), newSite()
	session, err := site.guest.CreateAnonymousSession(ctx)
	if err != nil {
		log.Fatal(err)
	}
	owner, err := site.guest.Authenticate(ctx, session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	team, err := owner.Teams().Create(ctx, latchkey.NewTeam{Name: "Bakers"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = owner.Teams().CreateMembership(ctx, team.ID, latchkey.NewMembership{
		Email: "grace@example.org", Roles: []string{"editor"}, URL: "https://app.example.org/join",
	})
	if err != nil {
		log.Fatal(err)
	}

	page := opened(site.mail(ctx, "grace@example.org").Link.Reveal()) // the page of the link
	accepted, err := site.guest.AcceptInvitation(ctx, latchkey.InvitationLink{
		TeamID: page.Get("teamId"), MembershipID: page.Get("membershipId"), UserID: page.Get("userId"), Secret: hidden.New(page.Get("secret")),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(accepted.Membership.TeamName, accepted.Membership.Roles)

	account, err := site.guest.Authenticate(ctx, accepted.Session.Secret.Reveal())
	if err != nil {
		log.Fatal(err)
	}
	recipe, err := permission.NewSet(permission.Update.To(permission.TeamRole(team.ID, "editor")))
	if err != nil {
		log.Fatal(err)
	}
	may, err := account.Can(ctx, permission.Update, recipe)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(may)
	// Output:
	// Bakers [editor]
	// true
}
