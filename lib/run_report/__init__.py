"""The report page of one training run, or of two side by side (tools/report.py).

runs      what a run left in its folders           verdicts  which detections are right, which objects are missed
rankings  RoIs of training images by their loss    charts    plots as SVG         pictures  image pieces as data URIs
tables, found, hard   the parts of the page     page      one HTML file that needs nothing else
"""
