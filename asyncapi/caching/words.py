"""Tables for the guard of the semantic cache: which English words may differ between equal questions.

A word that is in no table is content: both texts must have it, in the same place. So a table can only be
too short, which costs a hit; what is added to one must hold in nearly every text.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AUXILIARIES",
    "CONJUNCTIONS",
    "CONTRACTIONS",
    "EMPTY",
    "FUNCTION",
    "IRREGULAR",
    "LINKS",
    "MEASURES",
    "NEGATIONS",
    "NUMBERS",
    "OPENINGS",
    "PARTICIPLES",
    "PAST",
    "PERSONS",
    "PHRASES",
    "QUESTIONS",
    "SPELLINGS",
    "STRANDED",
    "SYNONYMS",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _list(text: str) -> list[str]:
    return text.split()


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def _classes(text: str) -> dict[str, str]:
    """Each line is a class of words; its first word stands for all of them."""
    return {word: line.split()[0] for line in text.strip().splitlines() for word in line.split()}


#: Words without which a text asks the same. Persons, tenses and question words are compared on their own.
EMPTY = _words(
    """a an the this that these those it its there here of in on at to for as than and so then be am
    do if whether please kindly really actually exactly basically simply quite now currently again one
    hi hello hey dear thank ok okay what which who whom whose when where why how i me my mine myself we
    us our ours ourselves you your yours yourself yet"""
)

#: Words after which a letter "a" is a name and no article: "from a to b".
FUNCTION = _words("to and or from into is in on of than with by for")

#: Words that one text may have where the other has none, but not another one of them.
LINKS = _classes(
    """
    of
    in on at
    to
    for
    this these
    that those
    here
    there
    now currently
    then
    again
    """
)

#: Words that count where they end a text: "what is it for".
STRANDED = _words("of in on at to for with as than")

QUESTIONS = _words("what which who whom whose when where why how")

#: Words that "how" asks for the measure of.
MEASURES = _words("many much long far old big large soon often fast tall high late early hot cold deep")

#: Question words that join clauses when they are not the first.
CONJUNCTIONS = _words("when what which how who")

NEGATIONS = _words("not no never none nobody nothing neither nor without hardly barely unable")

PAST = _words("was were did had")

PERSONS = _classes(
    """
    i me my mine myself we us our ours ourselves
    you your yours yourself
    he him his himself
    she her hers herself
    they them their theirs themselves
    """
)

AUXILIARIES = _words(
    "is are am was were do does did have has had can could may might should will would shall must"
)

#: Cardinal numbers. "One" is none of them: it is mostly a pronoun, and a number beside it differs.
NUMBERS: Mapping[str, str] = {
    word: str(value)
    for value, word in enumerate(
        _list(
            """zero - two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
            sixteen seventeen eighteen nineteen twenty"""
        )
    )
    if word != "-"
} | {
    "dozen": "12",
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "seventy": "70",
    "eighty": "80",
    "ninety": "90",
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
    "billion": "1000000000",
    "trillion": "1000000000000",
}

#: Ways to begin that add nothing to a request.
OPENINGS = _lines(
    """
    can you please tell me
    can you tell me
    can you please explain
    could you please tell me
    could you tell me
    can someone tell me
    can anyone tell me
    can someone please tell me
    can you please
    can you
    could you please
    could you
    would you please
    will you please
    do you know
    does anyone know
    do you happen to know
    i would like to know
    i would like you to
    i want to know
    i want you to
    i need to know
    i need you to
    i was wondering
    i am wondering
    i wonder
    let me know
    please tell me
    tell me
    please
    hi
    hello
    hey
    hi there
    hello there
    good day
    help
    please help
    """
)

CONTRACTIONS = {
    "can't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "shan't": "will not",
    "what's": "what is",
    "how's": "how is",
    "who's": "who is",
    "where's": "where is",
    "when's": "when is",
    "why's": "why is",
    "it's": "it is",
    "that's": "that is",
    "there's": "there is",
    "i'm": "i am",
    "whats": "what is",
    "hows": "how is",
    "wheres": "where is",
    "whos": "who is",
    "im": "i am",
    "ive": "i have",
    "cant": "can not",
    "dont": "do not",
    "doesnt": "does not",
    "didnt": "did not",
    "isnt": "is not",
    "arent": "are not",
    "wasnt": "was not",
    "hasnt": "has not",
    "havent": "have not",
    "couldnt": "could not",
    "wouldnt": "would not",
    "shouldnt": "should not",
}

#: Several words that say what other words say.
PHRASES = {
    "how can i": "how do i",
    "how could i": "how do i",
    "how would i": "how do i",
    "how may i": "how do i",
    "how can one": "how do i",
    "how can we": "how do i",
    "how can you": "how do i",
    "how do you": "how do i",
    "how do we": "how do i",
    "how does one": "how do i",
    "how am i able to": "how do i",
    "how is it possible to": "how do i",
    "how to": "how do i",
    "how i can": "how do i",
    "how i could": "how do i",
    "how i may": "how do i",
    "how i": "how do i",
    "how can": "how do",
    "how could": "how do",
    "what is the way to": "how do i",
    "what are the steps to": "how do i",
    "what are the steps for": "how do i",
    "what is the procedure for": "how do i",
    "what is the procedure to": "how do i",
    "what is the process for": "how do i",
    "what is the process to": "how do i",
    "what must i do to": "how do i",
    "what do i need to do to": "how do i",
    "what do i have to do to": "how do i",
    "what should i do to": "how do i",
    "what can i do to": "how do i",
    "what do i do to": "how do i",
    "is there a way to": "can i",
    "is there any way to": "can i",
    "is there a way for me to": "can i",
    "is there any way for me to": "can i",
    "is there a way i can": "can i",
    "is there any way i can": "can i",
    "is it possible to": "can i",
    "is it possible for me to": "can i",
    "would it be possible to": "can i",
    "is it okay to": "can i",
    "is it ok to": "can i",
    "am i allowed to": "can i",
    "am i able to": "can i",
    "would i be able to": "can i",
    "will i be able to": "can i",
    "may i": "can i",
    "could i": "can i",
    "what should i do": "what do i do",
    "what must i do": "what do i do",
    "what is the reason that": "why",
    "what is the reason for": "why",
    "what is the reason why": "why",
    "for what reason": "why",
    "how come": "why",
    "what is the command to": "how do i",
    "what is the command for": "how do i",
    "explain to me how": "how",
    "explain to me what": "what",
    "explain to me why": "why",
    "explain how": "how",
    "explain what": "what",
    "explain why": "why",
    "describe how": "how",
    "show me how": "how",
    "in what way": "how",
    "at what hour": "when",
    "is there any": "is there",
    "are there any": "are there",
    "do you have any": "do you have",
    "what time": "when",
    "at what time": "when",
    "in what year": "when",
    "in which year": "when",
    "on what date": "when",
    "on which date": "when",
    "how much time": "how long",
    "the number of": "how many",
    "have to": "must",
    "has to": "must",
    "need to": "must",
    "needs to": "must",
    "going to": "will",
    "every day": "daily",
    "each day": "daily",
    "every week": "weekly",
    "each week": "weekly",
    "every month": "monthly",
    "each month": "monthly",
    "every year": "yearly",
    "each year": "yearly",
    "turn off": "disable",
    "switch off": "disable",
    "turn on": "enable",
    "switch on": "enable",
    "sign in": "login",
    "log in": "login",
    "log into": "login",
    "sign into": "login",
    "sign out": "logout",
    "log out": "logout",
    "set up": "setup",
    "top-up": "top up",
    "e-mail": "email",
    "per cent": "percent",
    "no longer": "not anymore",
    "any more": "anymore",
    "a lot of": "many",
    "lots of": "many",
    "in order to": "to",
    "right now": "now",
    "at the moment": "now",
    "capital city": "capital",
    "as well": "also",
    "used to": "formerly",
    "would like to": "want",
    "do not work": "fail",
}

#: Words that may stand for each other.
SYNONYMS = _classes(
    """
    buy purchase
    begin start commence
    end finish
    delete erase
    fix repair
    big large huge
    small tiny
    fast quick quickly rapidly rapid
    picture image photo photograph
    car automobile
    shop store
    phone telephone
    cost price
    explain describe
    summarize summarise
    author writer
    kid child
    doctor physician
    movie film
    reply respond
    difficult hard
    easy simple
    allow permit
    need require
    needed required necessary
    choose select pick
    maximum max highest
    minimum min lowest
    kilometer kilometre km
    kilogram kilo kg
    liter litre
    centimeter centimetre cm
    color colour
    favorite favourite
    center centre
    organize organise
    analyze analyse
    nearest closest
    fastest quickest
    largest biggest
    smallest tiniest
    journey trip
    database db
    javascript js
    typescript ts
    kubernetes k8s
    postgresql postgres
    authentication auth
    repository repo
    directory folder
    configuration config
    worldwide global globally
    increase raise
    decrease reduce
    every all each
    can could may
    will would shall
    cheque check
    canceled cancelled
    until till
    anyone anybody
    someone somebody
    everyone everybody
    not n't
    """
)

SPELLINGS = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "%": "percent"}

#: Base forms that no rule finds, and words that only look inflected. Past tenses keep their form.
IRREGULAR = _classes(
    """
    be is are am was were been being
    do does did doing
    have has had having
    child children
    man men
    woman women
    foot feet
    tooth teeth
    mouse mice
    cactus cacti
    wolf wolves
    knife knives
    wife wives
    shoe shoes
    hero heroes
    index indices
    go goes going
    use using
    die dying
    lie lying
    tie tying
    """
) | {
    word: word
    for word in _words(
        """this his us its yes as less thus plus bus gas lens always sometimes whose species news thanks
        perhaps besides towards series means physics economics politics mathematics king ring bring string
        thing nothing something anything everything during morning evening spring ceiling wedding building
        pudding sibling interesting james texas paris mars christmas dallas kansas wales"""
    )
}

#: Past participles that do not end in "ed".
PARTICIPLES = _words(
    """been gone bought sold sent paid got gotten made taken given written run begun broken stolen lost won
    fallen risen grown built eaten drunk driven known told said thought found forgotten come become seen
    met held kept spent taught understood worn chosen spoken brought put set cut hit let shut hidden
    frozen torn thrown drawn shown left caught"""
)
