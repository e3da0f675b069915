"""The bank of words that the demo's posts are put together from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One subject of the paper, with all that may be said about it."""

    tags: tuple[str, ...]
    titles: dict[str, str]
    """Titles of posts, each with its introduction."""

    headings: tuple[str, ...]
    sentences: tuple[str, ...]
    """Each stands on its own, so that any of them may follow any other."""

    quotes: dict[str, str]
    """What people said, each with who said it."""


AUTHORS = {
    "Imogen Farr": ("Editor", "Imogen has put the paper together since it was a folded sheet."),
    "Tomasz Wilk": ("Harbour", "Tomasz rows every morning and writes about it in the afternoon."),
    "Adaeze Obi": ("Gardens", "Adaeze keeps an allotment, four hens and a very long notebook."),
    "Rowan Pell": ("Town hall", "Rowan sits through the meetings so that nobody else has to."),
    "Lucía Serrano": ("Kitchen", "Lucía baked for a living and now eats for one."),
    "Henrik Dahl": ("Science", "Henrik reads the instruments at the weather station on the hill."),
}

ADVERTS = {
    "Larkin & Daughter mend boots while you wait, Tuesdays and Fridays": "https://boots.example/",
    "Rooms with a view of the marsh, from one night to a whole winter": "https://rooms.example/",
    "Second-hand books bought and sold below the clock tower": "https://books.example/",
}

LINKS = {
    "Tide tables for the coming month": "https://tides.example/",
    "Opening hours of the town's services": "https://town.example/hours/",
    "How to write for this paper": "https://post.example/write/",
    "The walking map, to print": "https://walks.example/map/",
    "Last year's figures, as a table": "https://town.example/figures/",
}

TOPICS = (
    Topic(
        tags=("harbour", "boats"),
        titles={
            "The harbour wall gets its lamps back": (
                "After two winters in the dark, eleven lamps burn again between slip and pier."
            ),
            "Why the ferry now leaves at seven minutes past": (
                "A small change in the timetable saves forty commuters a long wait."
            ),
            "Learning to row at sixty-eight": (
                "The Thursday crew takes beginners of any age, and tells nobody how they did."
            ),
            "The dredger comes in May": (
                "Three weeks of noise will give the inner basin another metre of water."
            ),
            "What the night fishermen leave behind": (
                "A walk along the quay at six in the morning, with a bag and a pair of gloves."
            ),
            "A boat built from one fallen oak": (
                "Two neighbours, one tree and four years of Sundays."
            ),
        },
        headings=("At the water's edge", "What the harbour master says", "When the tide turns"),
        sentences=(
            "The inner basin falls dry for two hours either side of low water.",
            "Fourteen boats are on the waiting list for a mooring, most of them under six metres.",
            "Nobody has to ask for a place on the visitors' pontoon before the end of June.",
            "The old slip is slippery with weed, and the new one is merely steep.",
            "Ropes left across the steps are moved without further notice.",
            "A good third of the fleet still works for its living.",
            "The fuel berth takes cards now, but the coffee stall next to it does not.",
            "Seals have taken to sleeping on the outermost buoy.",
            "In an easterly, the swell comes straight through the gap and everybody doubles up.",
            "The pilots' hut was painted green in 1952 and has been some shade of it ever since.",
            "Anyone may borrow a life jacket from the box, as long as it comes back dry.",
            "Its log book goes back to the year of the great flood.",
        ),
        quotes={
            "You can hear the weather change here before you can see it.": "Harbour master",
            "A boat is never finished, it is only launched.": "Ewan Marsh, boatbuilder",
        },
    ),
    Topic(
        tags=("gardens", "nature"),
        titles={
            "Forty kinds of tomato, and six worth growing": (
                "A dry summer sorted out the allotment's long list all by itself."
            ),
            "The orchard behind the school is open to pickers": (
                "Bring a basket, leave the ladders, and take what has already fallen."
            ),
            "Frost in May: what to do the evening before": (
                "Old curtains, a bucket of water and an early night."
            ),
            "How the churchyard became a meadow": (
                "Mowing it once a year took more persuasion than work."
            ),
            "A hedge instead of a fence": (
                "It takes longer to grow up, but nobody has to paint it afterwards."
            ),
            "Seed swap in the reading room": (
                "Envelopes, pencils and a long table: bring what you have too much of."
            ),
        },
        headings=("From the allotments", "What to do this month", "Soil, mostly"),
        sentences=(
            "The soil on the north side is heavy enough to make bricks from.",
            "A layer of leaves in November saves a week of weeding in April.",
            "Slugs prefer lettuce to anything that was ever recommended against them.",
            "Rainwater from the shed roof lasts until the second week of July.",
            "Beans may go out when the hawthorn is in flower, and not a day earlier.",
            "Each plot has a path wide enough for one barrow and no conversation.",
            "The compost heap reached sixty degrees and stayed there for a fortnight.",
            "Bees from the two hives at the far end do most of the work.",
            "Everything that is labelled in pencil can still be read in spring.",
            "A robin follows whoever happens to be digging.",
            "Seedlings given away at the gate are gone by nine o'clock.",
            "Cutting the dead flowers off doubles the season of nearly all of them.",
        ),
        quotes={
            "I have never regretted planting a tree, only where.": "Bess Holloway, plot nine",
            "Do less, but do it in October.": "Adaeze Obi",
        },
    ),
    Topic(
        tags=("repair café", "community"),
        titles={
            "One toaster, four volunteers": (
                "The repair café had its hundredth evening, and a fault nobody had met before."
            ),
            "The shelf of things that nobody collected": (
                "Three radios, a lamp and half a bicycle are looking for their owners."
            ),
            "How to sew on a button so that it stays": (
                "It comes down to the shank, and to waxing the thread."
            ),
            "What a kettle costs when it is repaired": (
                "A list of every repair in the past year, with the price of each part."
            ),
            "Bring the manual if you have it": (
                "Six things to do before carrying a broken machine across the town."
            ),
            "The tool library lends its first ladder": (
                "Membership costs an hour of helping out, and there is no fine for being late."
            ),
        },
        headings=("On the workbench", "What could be saved", "How to help"),
        sentences=(
            "Two out of three machines leave the room in working order.",
            "Most faults turn out to be a cable that was bent once too often.",
            "Nothing is opened before its owner has signed that it was broken already.",
            "The soldering irons are at the window, the sewing machines under the lamp.",
            "A part that costs less than a cup of tea is on the house.",
            "Children may take apart whatever is beyond help.",
            "There is soup from six, and the queue for it is longer than the one for repairs.",
            "Batteries are tested for free, and the flat ones taken care of.",
            "Whoever waits is asked to hold something.",
            "The record is held by a clock that took nine evenings.",
            "Screws go into the egg boxes, in the order in which they came out.",
            "Every repair is written on the wall, with its reason.",
        ),
        quotes={
            "If it has screws, it wants to be opened.": "Noor Haddad, volunteer",
            "I came for the lamp and stayed for the soup.": "A visitor",
        },
    ),
    Topic(
        tags=("walking", "nature"),
        titles={
            "Seven gates to the old mill": (
                "A walk of two hours, all of it on paths that are dry by noon."
            ),
            "The causeway, and when not to cross it": (
                "The sea comes back faster than most people walk."
            ),
            "A new bench with the best view in the parish": (
                "It faces west, seats four and was carried up in parts."
            ),
            "Following the river to where it starts": (
                "It is not much of a spring, but the sandwiches were excellent."
            ),
            "Footpath nineteen is open again": ("A landslip, a lawyer and a new flight of steps."),
            "Walking home by moonlight": (
                "Once a month the ramblers leave their torches in their pockets."
            ),
        },
        headings=("The way there", "Where to rest", "Before you go"),
        sentences=(
            "The path leaves the road beside the chapel and does not meet it again for an hour.",
            "Boots are a good idea until the middle of April.",
            "From the third stile on there is a signal for the telephone, and a wind to match.",
            "Dogs are welcome, and so is a lead when the ewes are in the top field.",
            "At the ford, the stepping stones are dry in nine weeks out of ten.",
            "A farmhouse sells eggs and apple juice from a cupboard at the gate.",
            "The steepest part is over before anyone has begun to complain about it.",
            "Larks can be heard from here until well into July.",
            "On a clear day both lighthouses are in view.",
            "The signposts count in minutes, and the minutes are honest ones.",
            "An old milestone gives the distance to a town that has since moved.",
            "The last bus back goes at ten to six.",
        ),
        quotes={
            "There is no wrong way round, only a windy one.": "Parish footpath warden",
            "I measure a walk in gates.": "Tomasz Wilk",
        },
    ),
    Topic(
        tags=("kitchen", "recipes"),
        titles={
            "Bread that waits for you": (
                "A dough for people who never know when they will be home."
            ),
            "Mackerel, mustard and ten minutes": (
                "Supper for four, from what the boats brought in at noon."
            ),
            "The great marmalade count": (
                "Nineteen jars were entered, tasted blind and finished on the same evening."
            ),
            "Soup for sixty": (
                "What the village hall learned about leeks, pans and good intentions."
            ),
            "A cake without a recipe": ("Weigh the eggs, and let the eggs decide about the rest."),
            "What to do with so many plums": (
                "Five ways to empty a bucket, two of which need a cellar."
            ),
        },
        headings=("In the kitchen", "The method, such as it is", "What went wrong"),
        sentences=(
            "Salt goes in twice, and tasting happens three times.",
            "A heavy pan forgives a great deal.",
            "The dough should be a little too wet to be comfortable with.",
            "Half of it can be made the day before, and is the better for it.",
            "The oven in the hall runs hot on the left and knows no mercy on the right.",
            "Lemon at the end does what more salt at the beginning cannot.",
            "Whatever is left over makes a decent breakfast.",
            "Nobody has ever complained about too much butter in so many words.",
            "Let it rest under a cloth for as long as you can stand.",
            "The fish was swimming when the potatoes were peeled.",
            "A spoonful of the cooking water brings the sauce back together.",
            "It keeps for a week in theory, and until Tuesday in practice.",
        ),
        quotes={
            "Cooking is mostly waiting with intent.": "Lucía Serrano",
            "If it looks done, it was done a minute ago.": "The hall's head cook",
        },
    ),
    Topic(
        tags=("weather", "science"),
        titles={
            "The wettest February since the gauge was put up": (
                "More rain fell in nine days than in the whole of the summer before."
            ),
            "How the station on the hill measures wind": (
                "Three cups, a magnet and a great deal of patience."
            ),
            "Reading clouds without an app": (
                "Four kinds are enough to get the washing in on time."
            ),
            "A night of shooting stars": (
                "The school's roof is open to everyone who brings a blanket."
            ),
            "What the tide gauge has learned in eighty years": (
                "The line goes up slowly, and it does not come down again."
            ),
            "Fog: a field guide": (
                "There are three sorts of it here, and only one stays for lunch."
            ),
        },
        headings=("What was measured", "How the instruments work", "What comes next"),
        sentences=(
            "The thermometer hangs in the shade, a metre and a half above the grass.",
            "Readings are taken at nine, whatever else may be happening at nine.",
            "A front that crosses the estuary at breakfast is over the hills by lunch.",
            "Wind from the south-west brings rain on two days out of three.",
            "The coldest air collects in the hollow behind the station.",
            "Old note books agree with the new sensors to a tenth of a degree.",
            "Gulls on the football field are a better forecast than most.",
            "One millimetre of rain is a litre on every square metre.",
            "The strongest gust of the month took the roof of the bus shelter.",
            "Nine volunteers share the rota, and one of them always forgets the key.",
            "A ring around the moon means ice, very high up.",
            "All figures are published on the first of the month.",
        ),
        quotes={
            "It is only an average if you were not outside.": "Henrik Dahl",
            "We do not make it, we just write it down.": "The station's rota",
        },
    ),
    Topic(
        tags=("library", "books"),
        titles={
            "The book that came back after fifty years": (
                "It was due on a Tuesday, and the stamp is still quite clear."
            ),
            "Reading aloud to strangers": (
                "Wednesdays at four: anyone may read, and anyone may fall asleep."
            ),
            "A map room in the old vault": (
                "The county's oldest charts have moved to where the silver used to be."
            ),
            "Ten books about islands": (
                "Picked by the people at the desk, who would all rather be on one."
            ),
            "Homework hour moves upstairs": (
                "Bigger tables, better lamps and somebody who knows about fractions."
            ),
            "The mobile library's last diesel": (
                "The new van is quiet enough to be missed, so it has been given a bell."
            ),
        },
        headings=("Between the shelves", "From the desk", "Worth borrowing"),
        sentences=(
            "There are no fines any more, and more books come back than before.",
            "The quiet room is quiet by agreement, not by rule.",
            "Any book in the county can be here within three days.",
            "Two armchairs at the stove are taken from opening time on.",
            "Large print stands next to the door, at a height one need not bend to.",
            "Newspapers are kept for a month and comics for ever.",
            "The most borrowed book of the year was about knots.",
            "Children choose their own, and nobody comments.",
            "A lost bookmark is returned more often than a lost umbrella.",
            "The catalogue can be searched from home, and so can the archive.",
            "Twelve readers turned up for the first evening and twenty for the second.",
            "Donations are welcome, with the exception of encyclopaedias.",
        ),
        quotes={
            "We lend time. The books are only the receipt.": "Head librarian",
            "I read the last page first, so that I can relax.": "A regular",
        },
    ),
    Topic(
        tags=("town hall", "community"),
        titles={
            "Council votes for the slower road": (
                "Twenty miles an hour past the school, from the autumn on."
            ),
            "Where the parking money goes": (
                "Most of it goes back into the road, and some of it into the ditch beside it."
            ),
            "A seat on the flood committee is free": (
                "It meets four times a year, and more often when it matters."
            ),
            "The market moves for the summer": (
                "Stalls will stand along the quay until the bridge has been painted."
            ),
            "Public toilets: the long answer": (
                "Thirty-one residents asked, and here is what the surveyor replied."
            ),
            "Minutes that people read": (
                "The clerk has cut them to a single page, and asked for complaints."
            ),
        },
        headings=("What was decided", "What it costs", "How to have your say"),
        sentences=(
            "The vote was seven to four, with one member looking for his glasses.",
            "Letters may be handed in until the end of the month, typed or not.",
            "Work starts after the holidays and is meant to end before the next ones.",
            "The surveyor recommends doing it once and doing it properly.",
            "An earlier plan was dropped when its price became known.",
            "Residents of the lower streets will be asked first.",
            "A drawing hangs in the hall, with coloured pins for remarks.",
            "Nobody spoke against it for longer than the allowed three minutes.",
            "The county pays half, provided that the other half is found by March.",
            "All documents can be read at the front desk, with a cup of tea if need be.",
            "The motion had been put off twice for want of a quorum.",
            "A second reading will take place in public.",
        ),
        quotes={
            "I would like it noted that we finished early.": "Chair of the council",
            "It is a ditch until it floods, then it is an asset.": "Flood committee",
        },
    ),
    Topic(
        tags=("cycling", "transport"),
        titles={
            "Forty racks at the station": (
                "They are covered, lit and, as of last Monday, already full."
            ),
            "The hill, ranked by gear": ("An entirely unscientific survey of four ways up."),
            "A bus you can telephone": (
                "Between nine and three it comes to the end of any lane that asks."
            ),
            "Trailers for the school run": ("Six families share three of them, and a calendar."),
            "The night train stops here again": (
                "On Fridays and Sundays, for exactly two minutes."
            ),
            "Lights, bells and other manners": ("How to pass a horse, a pram and a brass band."),
        },
        headings=("On the road", "By the numbers", "Getting there"),
        sentences=(
            "The counter at the bridge passed one hundred thousand in September.",
            "A ticket bought on board costs the same as one bought anywhere else.",
            "The lane along the canal is wide enough for two, if they are friends.",
            "Punctures are mended at the kiosk for the price of the patch.",
            "Trains in both directions meet here on the half hour.",
            "The surface is fine gravel, rolled every spring.",
            "Half of all journeys in the town are shorter than two miles.",
            "Cargo bicycles can be borrowed by the hour from the bakery.",
            "The steepest bit has been given a handrail for feet.",
            "Commuters have begun to wave to each other.",
            "Signals at the crossing now change for bicycles without being asked.",
            "In rain, the bus is full by the second stop.",
        ),
        quotes={
            "Nobody was ever late because of a bell.": "Crossing guard",
            "I sold the car and bought a better coat.": "A commuter",
        },
    ),
    Topic(
        tags=("music", "history"),
        titles={
            "The brass band is looking for a tuba": (
                "The instrument is there, polished and patient. What is missing is a player."
            ),
            "A concert in the dry dock": (
                "The echo lasts four seconds, and the programme was chosen to suit it."
            ),
            "What was found under the dance floor": (
                "Hairpins, three coins and a programme from 1911."
            ),
            "The organ is tuned by ear": (
                "It takes two people two days, and everybody else a lot of cotton wool."
            ),
            "Songs the net-makers sang": (
                "Forty recordings have come back from the archive in the capital."
            ),
            "The clock tower strikes thirteen": ("How a worn tooth gave the town an extra hour."),
        },
        headings=("What it sounded like", "A little history", "Who was there"),
        sentences=(
            "The hall seats two hundred and held rather more.",
            "A photograph of the year 1923 shows the same eleven chairs.",
            "Rehearsals are on Mondays, with the windows open in summer.",
            "The oldest member joined before the oldest trumpet was made.",
            "Admission is free, and the hat goes round twice.",
            "Somebody had kept the sheet music in a bread bin.",
            "The tune is known in three villages under four names.",
            "Parish records mention a fiddler as early as 1764.",
            "Beginners sit in the second row, where mistakes are cheap.",
            "The encore was the same piece again, only faster.",
            "An entry in the ledger reads: to the musicians, in ale.",
            "The recording can be listened to in the library.",
        ),
        quotes={
            "We play until somebody dances or somebody complains.": "Bandmaster",
            "History is what was not thrown away.": "The museum's caretaker",
        },
    ),
)
