"""Headlines with a known sentiment: what the text classifier learns from.

Place in the path: training only. A headline is a subject, something that it does, and sometimes
words around it; a few are denied, and carry the opposite label. Written for this repository: no
text from outside. Neither `DEVELOPMENT` nor `HELD_OUT` is drawn from the lists: the first guided
lists and lexicon, the second was written when those were finished, and only measured.
"""

import random
from collections.abc import Iterator

BEARISH, NEUTRAL, BULLISH = range(3)
Headline = tuple[str, int]

ASSETS = (
    "Bitcoin", "Ethereum", "Solana", "Cardano", "XRP", "Dogecoin", "BTC", "ETH", "SOL", "ADA",
    "Polkadot", "Chainlink", "Avalanche", "Litecoin", "the crypto market", "the token", "the coin",
    "Uniswap", "Stellar", "altcoins", "digital assets", "the stock", "shares", "the index",
)  # fmt: skip

RISES = (
    "surges to a record high", "rallies after strong inflows", "jumps 12%",
    "climbs for a fifth day", "gains as investors return", "soars past resistance",
    "breaks out above its moving average", "rebounds sharply", "recovers all of its losses",
    "hits a new all-time high", "is up 8% today", "outperforms the market",
    "attracts record inflows", "wins regulatory approval", "is adopted by a large bank",
    "sees demand at its highest in a year", "beats expectations",
    "completes its upgrade successfully", "looks bullish to analysts", "gets a price upgrade",
    "skyrockets as buyers rush in", "shows strong momentum", "is heading for the moon",
    "extends its winning streak", "leads the recovery", "posts its best week since spring",
    "draws heavy institutional buying", "signs a partnership with a payment giant",
    "sees its user base double", "reports record profits", "finds strong support and turns up",
    "is undervalued and ready to run", "rises on optimism about rate cuts", "doubles in a month",
    "enters a new bull market", "is accumulated by whales", "secures major funding",
    "triggers a short squeeze as prices explode upwards", "gets listed on a major exchange",
    "sees network activity at record levels", "is great news for holders",
    "adds 5 billion in value", "shrugs off bad news and rallies", "heads higher as fear fades",
    "beats every rival this quarter", "is accepted as payment by a supermarket chain",
    "gets support from lawmakers", "blows past its old peak",
    "gets the green light from the regulator", "is set for further gains", "turns positive again",
)  # fmt: skip

FALLS = (
    "plunges to a yearly low", "crashes 30%", "tumbles as investors flee", "drops for a fifth day",
    "slides below support", "sinks after heavy selling", "loses a third of its value",
    "collapses amid panic", "is down 8% today", "suffers its worst week since spring",
    "is hit by a major hack", "faces a lawsuit from the regulator", "is banned by the government",
    "sees record outflows", "misses expectations", "is delisted by a major exchange",
    "looks bearish to analysts", "gets a price downgrade", "is accused of fraud",
    "files for bankruptcy", "halts withdrawals", "shows weak momentum",
    "breaks down below its range", "extends its losing streak", "leads the sell-off",
    "is dumped by whales", "triggers mass liquidations of longs", "suffers an outage for hours",
    "sees its user base shrink", "reports heavy losses", "fails to hold support",
    "is overvalued and about to fall", "falls on fears of rate hikes", "halves in a month",
    "enters a bear market", "is drained by an exploit", "loses its main backer",
    "is a scam, investors warn", "sees network activity dry up", "is terrible news for holders",
    "wipes out 5 billion in value", "ignores good news and sinks", "heads lower as fear returns",
    "is under criminal investigation", "is rejected by the regulator", "faces further losses",
    "turns negative again", "leaves investors with nothing",
)  # fmt: skip

STAYS = (
    "trades sideways", "is little changed", "holds steady", "moves in a narrow range",
    "is flat ahead of the central bank's meeting", "awaits new data", "consolidates",
    "will publish its report on Thursday", "holds its annual conference in Lisbon",
    "releases version 2.3 of its wallet", "explained: how it works", "has a supply of 21 million",
    "uses a proof of stake", "is mixed as traders wait", "closes unchanged", "was created in 2015",
    "schedules a community call", "names a new head of marketing", "moves its office to Zurich",
    "is discussed at a panel", "changes its logo", "publishes its road map",
    "trading volume was average", "is a digital currency", "shows no clear direction",
    "opens voting on a proposal", "answers questions of users", "updates its documentation",
    "is traded in many countries", "will be covered in our newsletter", "sees a quiet weekend",
    "settles near yesterday's price", "is neither up nor down", "compared with gold: an overview",
    "waits for the next block reward change", "has its price quoted in dollars",
    "moderates a talk about payments", "fees are unchanged", "is the topic of a new book",
    "stays within its range of last week", "barely moves in light trading",
    "shows no reaction to the news", "drifts without a trend", "is stuck around 50 dollars",
    "hovers near 1,000 dollars before the report", "produces a block every ten minutes",
    "is expected to fork in 2027", "has a quiet day", "traders stay on the sidelines",
    "opinions are split on where it goes next",
)  # fmt: skip

AROUND = (
    "{}", "{}", "{}", "{}", "Breaking: {}", "{}, report says", "{} - what to know", "{}!",
    "Market update: {}", "{} on Monday", "Analysts: {}", "{} in early trading", "Today {}",
    "Just in: {}", "{} this week", "I think {}", "{} according to new data",
)  # fmt: skip

NEGATIONS = ("Experts deny that {}", "Rumour that {} is false", "It is not true that {}")
"""A denied rise is not a fall, but it disappoints; a denied fall relieves."""
NEGATED_SHARE = 0.05


def draw(rng: random.Random) -> Headline:
    """One headline and its label."""
    label = rng.choice((BEARISH, NEUTRAL, BULLISH))
    phrases = (FALLS, STAYS, RISES)[label]
    subject, phrase = rng.choice(ASSETS), rng.choice(phrases)
    text = f"{subject} {phrase}"
    if label != NEUTRAL and rng.random() < NEGATED_SHARE:
        return rng.choice(NEGATIONS).format(text), BULLISH if label == BEARISH else BEARISH
    text = rng.choice(AROUND).format(text)
    return (text.lower() if rng.random() < 0.15 else text[0].upper() + text[1:]), label


def drawn(seed: int, count: int) -> Iterator[Headline]:
    """The same headlines for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        yield draw(rng)


DEVELOPMENT: tuple[Headline, ...] = (
    ("Bitcoin blasts through $100,000 for the first time", BULLISH),
    ("Pension fund pours $400 million into Ether", BULLISH),
    ("Solana roars back with a 20 percent weekly advance", BULLISH),
    ("Traders cheer as court sides with Ripple", BULLISH),
    ("Spot fund launch sparks buying frenzy", BULLISH),
    ("Cardano developers ship long-awaited scaling update ahead of schedule", BULLISH),
    ("Whale wallets keep stacking, supply on exchanges shrinks", BULLISH),
    ("Dogecoin spikes after celebrity endorsement", BULLISH),
    ("Chipmaker lifts its forecast on booming demand", BULLISH),
    ("Confidence is back: crypto funds see longest run of inflows in years", BULLISH),
    ("Central bank hints at easing, risk assets pop", BULLISH),
    ("Country makes Bitcoin legal tender", BULLISH),
    ("Ether staking yields improve as usage grows", BULLISH),
    ("XRP is pumping hard right now, love it", BULLISH),
    ("Hash rate reaches another peak, miners upbeat", BULLISH),
    ("Price target raised to $5,000 by brokerage", BULLISH),
    ("Bulls take control as Litecoin clears key level", BULLISH),
    ("Retailer starts accepting Bitcoin in all its shops", BULLISH),
    ("Quarterly revenue comes in well above forecasts", BULLISH),
    ("Best month for altcoins in two years", BULLISH),
    ("Bitcoin nosedives below $60,000 as panic spreads", BEARISH),
    ("Hackers steal $200 million from bridge", BEARISH),
    ("Exchange freezes customer accounts, founder missing", BEARISH),
    ("Ether slumps to weakest since January", BEARISH),
    ("Prosecutors charge token issuer with securities fraud", BEARISH),
    ("Miners capitulate as revenue evaporates", BEARISH),
    ("Bloodbath: $1 billion of leveraged bets erased overnight", BEARISH),
    ("Solana network goes dark again", BEARISH),
    ("Stablecoin loses its peg, contagion fears grow", BEARISH),
    ("Investors rush for the exit", BEARISH),
    ("Regulator sues exchange for operating illegally", BEARISH),
    ("Sell everything, this is going to zero", BEARISH),
    ("Funds bleed for a seventh straight week", BEARISH),
    ("Death cross appears on the Cardano chart", BEARISH),
    ("Rug pull leaves buyers holding worthless tokens", BEARISH),
    ("Company slashes its outlook and cuts jobs", BEARISH),
    ("China renews crackdown on trading", BEARISH),
    ("Dogecoin dives as hype vanishes", BEARISH),
    ("Bears tighten grip, next stop could be far lower", BEARISH),
    ("Worst quarter ever for the lender", BEARISH),
    ("Bitcoin hovers around $70,000 before inflation figures", NEUTRAL),
    ("What is a blockchain? A beginner's guide", NEUTRAL),
    ("Ethereum Foundation announces dates of its developer meeting", NEUTRAL),
    ("Crypto markets quiet over the holiday", NEUTRAL),
    ("How to set up a hardware wallet", NEUTRAL),
    ("Solana Labs hires a new communications director", NEUTRAL),
    ("XRP barely budges in thin trading", NEUTRAL),
    ("Exchange adds Portuguese to its mobile app", NEUTRAL),
    ("Five facts about Satoshi Nakamoto", NEUTRAL),
    ("Traders sit on their hands until the jobs report", NEUTRAL),
    ("The next halving is expected in 2028", NEUTRAL),
    ("Litecoin stuck in a tight band", NEUTRAL),
    ("Museum opens exhibition on the history of money", NEUTRAL),
    ("Interview: a day in the life of a validator", NEUTRAL),
    ("Prices unchanged at noon", NEUTRAL),
    ("Committee to discuss crypto rules next month", NEUTRAL),
    ("Cardano's monthly newsletter is out", NEUTRAL),
    ("Tax office publishes form for digital assets", NEUTRAL),
    ("Average block time was 12 seconds", NEUTRAL),
    ("Analysts are divided about where Bitcoin goes from here", NEUTRAL),
    ("Ether climbs past $4,000 as appetite for risk returns", BULLISH),
    ("Asset manager doubles its Bitcoin position", BULLISH),
    ("Solana tops rivals with 15% monthly gain", BULLISH),
    ("Judge throws out case against exchange", BULLISH),
    ("Token price quadruples after listing", BULLISH),
    ("Investors pile into crypto funds", BULLISH),
    ("Cardano stages impressive comeback", BULLISH),
    ("Optimism grows that the rally has further to go", BULLISH),
    ("Bitcoin shakes off early weakness to end higher", BULLISH),
    ("Lender posts bumper earnings, raises dividend", BULLISH),
    ("Huge buy wall appears, momentum is building", BULLISH),
    ("Big tech company adds Bitcoin to its treasury", BULLISH),
    ("XRP at its strongest in seven years", BULLISH),
    ("This coin is a gem, loading up before it flies", BULLISH),
    ("Network upgrade cuts fees by 90%, users delighted", BULLISH),
    ("Bitcoin tanks as war fears grip markets", BEARISH),
    ("Exploit costs lending protocol its entire reserves", BEARISH),
    ("Ether gives up all of this year's gains", BEARISH),
    ("Crypto firm goes bust owing millions", BEARISH),
    ("Founder arrested at airport", BEARISH),
    ("Analyst warns of a deep correction ahead", BEARISH),
    ("Solana skids as validators go offline", BEARISH),
    ("Outflows accelerate from crypto products", BEARISH),
    ("Dogecoin sheds a quarter of its value in hours", BEARISH),
    ("Tax authority to hit traders with heavy penalties", BEARISH),
    ("Cardano struggles, holders are losing patience", BEARISH),
    ("Exchange admits customer funds are missing", BEARISH),
    ("Worst day since 2020 for digital assets", BEARISH),
    ("Demand for tokens has dried up completely", BEARISH),
    ("Profit warning sends shares tumbling", BEARISH),
    ("Bitcoin flat in Asian hours", NEUTRAL),
    ("Podcast: the people behind Ethereum", NEUTRAL),
    ("Central bank decision due at 2 pm", NEUTRAL),
    ("Glossary of terms for newcomers", NEUTRAL),
    ("Solana conference moves to Singapore", NEUTRAL),
    ("Litecoin ends the session where it began", NEUTRAL),
    ("Software release candidate available for testing", NEUTRAL),
    ("Bitcoin holds near $65,000", NEUTRAL),
    ("University offers a course on distributed ledgers", NEUTRAL),
    ("Poll: how many people own crypto?", NEUTRAL),
    ("The wallet is now available in 12 languages", NEUTRAL),
    ("Proposal 41 goes to a vote next week", NEUTRAL),
    ("Volumes in line with the monthly average", NEUTRAL),
    ("Calendar: events to watch in December", NEUTRAL),
    ("XRP range-bound as market lacks catalysts", NEUTRAL),
)

HELD_OUT: tuple[Headline, ...] = (
    ("Bitcoin powers ahead to finish the month 18% up", BULLISH),
    ("Insurance giant takes a stake in crypto custodian", BULLISH),
    ("Ether fund draws $1 billion in its first week", BULLISH),
    ("Bank drops its objections to tokenized deposits", BULLISH),
    ("Solana overtakes rivals in daily users", BULLISH),
    ("Shares of the miner soared after results", BULLISH),
    ("Traders bet on another leg up for Cardano", BULLISH),
    ("Senate passes crypto-friendly law", BULLISH),
    ("Appetite for altcoins returns with a vengeance", BULLISH),
    ("Litecoin is the week's biggest winner", BULLISH),
    ("I am never selling, this only goes one way: up", BULLISH),
    ("Payment network opens its doors to stablecoins", BULLISH),
    ("Upgrade goes live without a hitch", BULLISH),
    ("XRP bursts through its ceiling", BULLISH),
    ("Bitcoin slips under $60,000 in rough session", BEARISH),
    ("Ether hammered by forced selling", BEARISH),
    ("Thieves empty wallets of thousands of users", BEARISH),
    ("Judge orders exchange to close", BEARISH),
    ("Solana holders face painful losses", BEARISH),
    ("Crypto lender stops paying its customers", BEARISH),
    ("Cardano extends its rout", BEARISH),
    ("Altcoins get crushed as liquidity dries up", BEARISH),
    ("Ministry plans to outlaw private coins", BEARISH),
    ("The rally is over, says veteran trader", BEARISH),
    ("Dogecoin was the biggest loser of the day", BEARISH),
    ("Company writes off its entire crypto holdings", BEARISH),
    ("Everyone I know is getting out of this coin", BEARISH),
    ("Bug in smart contract locks up $80 million for good", BEARISH),
    ("Bitcoin near $68,000 as Europe opens", NEUTRAL),
    ("New edition of the crypto handbook published", NEUTRAL),
    ("Ethereum developers meet on Wednesday", NEUTRAL),
    ("What to expect from the central bank today", NEUTRAL),
    ("Solana trades in line with its peers", NEUTRAL),
    ("Exchange changes the colours of its app", NEUTRAL),
    ("A short history of Litecoin", NEUTRAL),
    ("Weekend trading was calm", NEUTRAL),
    ("Cardano's founder speaks in Buenos Aires", NEUTRAL),
    ("How taxes on digital assets work", NEUTRAL),
    ("XRP price: where it stands at midday", NEUTRAL),
    ("Parliament schedules a hearing on stablecoins", NEUTRAL),
)
