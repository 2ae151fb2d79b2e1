"""The report on one training run, or on two side by side (tools/report.py): a page, pictures, a summary.  And the page
on a data set before training (--data).

runs      what a run left in its folders           verdicts  which detections are right, which objects are missed
rankings  RoIs of training images by their loss    analysis  both, worked out once
style     colours of page.css, matplotlib's style  charts    plots, as elements that svg makes of matplotlib's figures
pictures  image pieces as data URIs                figures   detections.jpg, hard_rois.jpg
tables, found, hard   the parts of the page        page      one HTML file that needs nothing else
summary   summary.json

data_sets       images, objects, proposals and problems of data sets    data_statistics  numbers about them
data_findings   what is worth a look, in sentences                      data_grid        images with their boxes
data_page       the page
"""
