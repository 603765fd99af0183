"""Closed word lists that several corpus families share; values outside them are copied badly."""


def _split(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in " ".join(text.split()).split(","))


NAMES = _split(
    """
    Anna, Ben, Carla, David, Emma, Frank, Grace, Henry, Jack, Laura, Maria, Noah, Olivia, Paul,
    Sarah, Tom, Alice, Bob, Charlie, Diana, George, Julia, Max, Peter, John, Jane
    """
)
CITIES = _split(
    """
    Berlin, Paris, London, Madrid, Rome, Vienna, Lisbon, Dublin, Oslo, Athens, Tokyo, New York,
    San Francisco, Boston, Chicago, Toronto, Sydney, Amsterdam, Munich, Singapore
    """
)
COLORS = _split(
    """
    red, blue, green, yellow, black, white, orange, purple, brown, pink, grey
    """
)
JOBS = _split(
    """
    engineer, teacher, doctor, nurse, lawyer, designer, student, pilot
    """
)
TIMEZONES = _split(
    """
    UTC, Europe/Berlin, Europe/London, Europe/Paris, America/New_York, America/Los_Angeles,
    Asia/Tokyo, Asia/Kolkata, Australia/Sydney
    """
)
TOPICS = _split(
    """
    football, quantum physics, pizza, the moon, black holes, chess, the weather, climate
    change, cooking, guitar, dinosaurs, coffee, tea, chocolate, photosynthesis, gravity,
    bitcoin, the stock market, cats, dogs, horses, the roman empire, napoleon, einstein,
    shakespeare, mozart, paris, london, france, spain, tokyo, new york, mars, jupiter, the
    sun, evolution, dna, vaccines, medicine, algebra, calculus, geometry, history, philosophy,
    art, painting, music theory, jazz, rock and roll, movies, star wars, video games,
    minecraft, basketball, tennis, swimming, running, yoga, meditation, sleep, vitamins,
    bread, pasta, sushi, wine, beer, cheese, apples, bananas, gardening, trees, flowers,
    birds, whales, sharks, the ocean, mountains, volcanoes, earthquakes, robots, machine
    learning, neural networks, rust, javascript, python, java, html, a sorting algorithm,
    fibonacci numbers, a website, the internet, wifi, cars, airplanes, trains, bicycles,
    ships, rockets, love, happiness, politics, the president, elections, taxes, insurance,
    real estate, the bible, greek mythology, dragons, vampires, christmas, birthdays,
    weddings, fashion, shoes, diamonds, gold, oil, solar energy, nuclear power, batteries,
    phones, cameras, the eiffel tower, the great wall, egypt, pyramids, vikings, samurai,
    world war two, germany, italy, china, india, brazil, canada, africa, antarctica, the
    universe, time travel, aliens, magic, zebras, penguins, lasagna, pancakes, soup, salad, a
    good night's sleep, the fastest car, hamlet, a marathon, poker, the olympics, thunder
    """
)
SEARCHES = TOPICS[:16]
