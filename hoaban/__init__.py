"""The pure core of Hoa Ban: what decides, with no Ray, network, disk or clock in it."""

__version__ = "0.1.0"
