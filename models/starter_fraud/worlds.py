"""Every world by its kind.

Place in the path: training and evaluation only.
"""

from collections.abc import Mapping

from core.fraud_features import Kind
from models.starter_fraud.drawing import World
from models.starter_fraud.network import NETWORK
from models.starter_fraud.trading import TRADING
from models.starter_fraud.transactions import TRANSACTIONS

WORLDS: Mapping[Kind, World] = {world.kind: world for world in (TRANSACTIONS, NETWORK, TRADING)}
