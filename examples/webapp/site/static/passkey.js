// The part of passkeys that only a script can do: it hands the questions of the site to the browser, and sends the answers
// by the forms of the page. A button with data-ask fetches its question there, and one with data-options has it. Parts
// with data-able are for browsers that have passkeys, and those with data-unable for the others.

const able = window.PublicKeyCredential?.parseCreationOptionsFromJSON && PublicKeyCredential.parseRequestOptionsFromJSON
const offers = able && await PublicKeyCredential.isConditionalMediationAvailable?.()
const says = document.getElementById("passkey-says")

// renewal is how long an offer keeps its question, in milliseconds. The site takes an answer for five minutes.
const renewal = 4 * 60 * 1000
let timer

// open ends the question that the browser has open. It has one at a time.
let open = new AbortController()

// Refused is an error with a sentence of the site.
class Refused extends Error {}

// ask returns the options of a question.
async function ask(button, offer, signal) {
	if (button.dataset.options) return JSON.parse(button.dataset.options)
	const reply = await fetch(button.dataset.ask, {method: "POST", body: new URLSearchParams(offer ? {offer: "on"} : {}), signal})
	const told = await reply.json()
	if (reply.ok) return told
	if (reply.status == 401) send(button, "") // the session has ended, and the site leads on
	throw new Refused(told.message)
}

// prove has a device answer a question, in the place of the one that is open, and sends the answer.
async function prove(button, offer) {
	clearTimeout(timer)
	open.abort()
	open = new AbortController()
	const signal = open.signal
	const {publicKey, mediation} = await ask(button, offer, signal)
	const credential = publicKey.rp
		? await navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey), signal})
		: await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey), mediation, signal})
	send(button, JSON.stringify(credential))
}

// send sends the form of a button.
function send(button, answer) {
	button.form.elements.credential.value = answer
	button.form.action = button.formAction
	button.form.submit()
}

// offer offers passkeys in the field with autocomplete="webauthn" as long as the page stands. A hidden page renews its question when
// it is shown again.
async function offer(button) {
	const asked = prove(button, true)
	timer = setTimeout(() => {
		if (!document.hidden) offer(button)
		else document.addEventListener("visibilitychange", () => offer(button), {once: true})
	}, renewal)
	await asked.catch(() => {}) // the user has not asked for it
}

// press asks for a passkey because the user wants it, and tells why there is none.
async function press(button) {
	says.hidden = true
	button.disabled = true // also while the next page is late: the question of the button is answered once
	try {
		await prove(button, false)
	} catch (error) {
		button.disabled = false
		if (error.name == "AbortError") return // another question has taken its place
		const sentences = {NotAllowedError: says.dataset.declined, InvalidStateError: says.dataset.there}
		says.textContent = error instanceof Refused ? error.message : sentences[error.name] ?? says.dataset.failed
		says.hidden = false
		if (offers && "offer" in button.dataset) offer(button)
	}
}

for (const part of document.querySelectorAll(able ? "[data-able]" : "[data-unable]")) part.hidden = false
for (const button of document.querySelectorAll("[data-ask], [data-options]")) {
	button.addEventListener("click", event => {
		event.preventDefault()
		press(button)
	})
	if (offers && "offer" in button.dataset) offer(button)
}

// The browser hears of the passkeys of the user, because a device may offer others or show a former name.
for (const [name, about] of Object.entries(JSON.parse(says.dataset.signals))) {
	if (about && able) PublicKeyCredential[name]?.(about).catch(() => {})
}
